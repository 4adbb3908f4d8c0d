//! Why a set of images could not be read.

use std::path::PathBuf;

use crate::idx::IdxError;
use crate::quoted::shown;
use crate::range_error::RangeError;
use crate::split::Split;

/// Why a set of images could not be read. Every message but those of the configuration is one line
/// that starts with the path.
#[derive(Debug, thiserror::Error)]
pub enum ImageSetError {
    /// A file is missing.
    #[error("{}: holds no `{name}`, neither as it is nor with the ending .gz", shown(folder))]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// The file's name.
        name: String,
    },
    /// A file is no IDX file, or damaged.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// There is not one label for each image.
    #[error("{}: {found} labels, but `{images}` holds {expected} images", shown(path))]
    Count {
        /// The file of labels.
        path: PathBuf,
        /// The name of the file of images.
        images: String,
        /// The number of images.
        expected: usize,
        /// The number of labels.
        found: usize,
    },
    /// A label is no digit.
    #[error("{}: label {index} is {label}, but must be 0 to 9", shown(path))]
    Label {
        /// The file of labels.
        path: PathBuf,
        /// Position of the label, from 0.
        index: usize,
        /// Its value.
        label: u8,
    },
    /// Training and test images differ in size.
    #[error(
        "{}: images of {} by {} pixels, but the training images have {} by {}",
        shown(path), found[0], found[1], expected[0], expected[1]
    )]
    Size {
        /// The file of test images.
        path: PathBuf,
        /// Rows and columns of the training images.
        expected: [usize; 2],
        /// Rows and columns of the test images.
        found: [usize; 2],
    },
    /// The split holds no image.
    #[error("{}: no image in the {split:?} split", shown(folder))]
    EmptySplit {
        /// The folder.
        folder: PathBuf,
        /// The split.
        split: Split,
    },
    /// A configured value lies outside its range.
    #[error(transparent)]
    Config(#[from] RangeError),
}
