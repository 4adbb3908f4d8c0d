//! The four files of a set of images.

use std::path::{Path, PathBuf};

use super::{ImageSetError, SequentialImagesConfig};
use crate::data_file;
use crate::idx::read_idx;
use crate::range_error::RangeError;
use crate::split::Split;

/// An image of grey values, 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// The grey values, row by row.
    pub pixels: &'a [u8],
    /// The digit, 0 to 9.
    pub label: u8,
}

/// Training and test images with their labels.
#[derive(Debug, Clone)]
pub struct ImageSet {
    folder: PathBuf,
    train: Part,
    test: Part,
}

/// The images of two files: pixels and labels.
#[derive(Debug, Clone)]
struct Part {
    path: PathBuf,
    size: [usize; 2],
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl ImageSet {
    /// Reads `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    /// `t10k-labels-idx1-ubyte`, also as `train-images.idx3-ubyte` and so on, and each also with
    /// the ending `.gz`, in either case.
    ///
    /// # Errors
    ///
    /// If a file is missing or damaged, or the files do not go together.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ImageSetError> {
        let folder = folder.as_ref().to_path_buf();
        let train = Part::read(&folder, "train")?;
        let test = Part::read(&folder, "t10k")?;
        if test.size != train.size {
            return Err(ImageSetError::Size { path: test.path, expected: train.size, found: test.size });
        }
        Ok(Self { folder, train, test })
    }

    /// Rows of an image.
    pub fn rows(&self) -> usize {
        self.train.size[0]
    }

    /// Columns of an image.
    pub fn columns(&self) -> usize {
        self.train.size[1]
    }

    /// The images of one split, in the order of the files.
    ///
    /// # Errors
    ///
    /// If there are none, or a configured value lies outside its range.
    pub fn load(
        &self,
        split: Split,
        config: &SequentialImagesConfig,
    ) -> Result<Vec<Image<'_>>, ImageSetError> {
        config.validate()?;
        let found = self.train.labels.len();
        let range = format!("less than the number of training images, {found}");
        RangeError::check(config.validation < found, "validation", config.validation, range)?;
        let training = found - config.validation;
        let (first, count) = match split {
            Split::Train => (0, training),
            Split::Validation => (training, config.validation),
            Split::Test => (found, self.test.labels.len()),
            Split::All => (0, found + self.test.labels.len()),
        };
        if count == 0 {
            return Err(ImageSetError::EmptySplit { folder: self.folder.clone(), split });
        }
        let images = self.train.images().chain(self.test.images());
        Ok(images.skip(first).take(count.min(config.max_images.unwrap_or(count))).collect())
    }
}

impl Part {
    /// Reads `{name}-images-idx3-ubyte` and `{name}-labels-idx1-ubyte`.
    fn read(folder: &Path, name: &str) -> Result<Self, ImageSetError> {
        let path = find(folder, &format!("{name}-images"), "idx3-ubyte")?;
        let labels_path = find(folder, &format!("{name}-labels"), "idx1-ubyte")?;
        let images = read_idx(&path, 3)?;
        let labels = read_idx(&labels_path, 1)?.data;
        let expected = images.shape[0];
        if labels.len() != expected {
            let images = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(ImageSetError::Count { path: labels_path, images, expected, found: labels.len() });
        }
        if let Some(index) = labels.iter().position(|&label| label > 9) {
            return Err(ImageSetError::Label { path: labels_path, index, label: labels[index] });
        }
        Ok(Self { path, size: [images.shape[1], images.shape[2]], pixels: images.data, labels })
    }

    fn images(&self) -> impl Iterator<Item = Image<'_>> {
        let [rows, columns] = self.size;
        let pixels = self.pixels.chunks_exact(rows * columns);
        pixels.zip(&self.labels).map(move |(pixels, &label)| Image { rows, columns, pixels, label })
    }
}

/// The file `{name}-{kind}` or `{name}.{kind}`, with or without `.gz`, in either case.
fn find(folder: &Path, name: &str, kind: &str) -> Result<PathBuf, ImageSetError> {
    let names = ["", ".gz"].map(|end| [format!("{name}-{kind}{end}"), format!("{name}.{kind}{end}")]);
    let mut paths = names.iter().flatten().map(|name| data_file::find(folder, name));
    paths.find(|path| path.exists()).ok_or_else(|| {
        let name = format!("{name}-{kind}");
        ImageSetError::MissingFile { folder: folder.into(), name }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    /// An array as the bytes of an IDX file.
    fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend_from_slice(data);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Five training images, all of whose pixels are their index, and two test images, all 100.
    fn data_set() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let train: Vec<u8> = (0..5).flat_map(|image| [image; 6]).collect();
        for (name, bytes) in [
            ("train-images-idx3-ubyte", idx(&[5, 2, 3], &train)),
            ("train-labels.idx1-ubyte", idx(&[5], &[5, 6, 7, 8, 9])),
            ("t10k-images-idx3-ubyte.gz", gzip(&idx(&[2, 2, 3], &[100; 12]))),
            ("t10k-labels.idx1-ubyte.gz", gzip(&idx(&[2], &[1, 2]))),
        ] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn labels(images: &[Image<'_>]) -> Vec<u8> {
        images.iter().map(|image| image.label).collect()
    }

    #[test]
    fn splits_are_disjoint_and_complete() {
        let folder = data_set();
        let set = ImageSet::open(folder.path()).unwrap();
        assert_eq!((set.rows(), set.columns()), (2, 3));
        let mut config = SequentialImagesConfig { validation: 2, ..Default::default() };
        let load = |split, config: &_| labels(&set.load(split, config).unwrap());
        assert_eq!(load(Split::Train, &config), [5, 6, 7]);
        assert_eq!(load(Split::Validation, &config), [8, 9]);
        assert_eq!(load(Split::Test, &config), [1, 2]);
        assert_eq!(load(Split::All, &config), [5, 6, 7, 8, 9, 1, 2]);
        let images = set.load(Split::All, &config).unwrap();
        assert_eq!((images[4].pixels, images[6].pixels), (&[4; 6][..], &[100; 6][..]));

        config.max_images = Some(1);
        assert_eq!(load(Split::Train, &config), [5]);
        assert_eq!(load(Split::Validation, &config), [8]);
        assert_eq!(load(Split::Test, &config), [1]);
        assert_eq!(load(Split::All, &config), [5]);
    }

    #[test]
    fn names_may_be_in_either_case() {
        let folder = data_set();
        let [from, to] =
            ["t10k-images-idx3-ubyte.gz", "T10K-IMAGES-IDX3-UBYTE.GZ"].map(|name| folder.path().join(name));
        fs::rename(from, to).unwrap();
        assert_eq!(ImageSet::open(folder.path()).unwrap().test.labels, [1, 2]);
    }

    #[test]
    fn a_split_without_images_is_an_error() {
        let folder = data_set();
        let set = ImageSet::open(folder.path()).unwrap();
        let mut config = SequentialImagesConfig::default();
        let message = set.load(Split::Validation, &config).unwrap_err().to_string();
        assert!(message.starts_with(&*folder.path().to_string_lossy()), "{message}");
        assert!(message.ends_with("no image in the Validation split"), "{message}");
        config.validation = 5;
        let message = set.load(Split::Train, &config).unwrap_err().to_string();
        assert_eq!(message, "`validation` is 5, but must be less than the number of training images, 5");
    }

    #[test]
    fn files_that_do_not_go_together_are_named() {
        let cases = [
            (
                "train-labels.idx1-ubyte",
                idx(&[4], &[0; 4]),
                "4 labels, but `train-images-idx3-ubyte` holds 5 images",
            ),
            ("train-labels.idx1-ubyte", idx(&[5], &[0, 9, 10, 0, 0]), "label 2 is 10, but must be 0 to 9"),
            (
                "t10k-images-idx3-ubyte.gz",
                idx(&[2, 3, 2], &[0; 12]),
                "images of 3 by 2 pixels, but the training images have 2 by 3",
            ),
            ("t10k-labels.idx1-ubyte.gz", idx(&[2, 1], &[0; 2]), "2 dimensions, but 1 are expected"),
        ];
        for (name, bytes, expected) in cases {
            let folder = data_set();
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let message = ImageSet::open(folder.path()).unwrap_err().to_string();
            assert_eq!(message, format!("{}: {expected}", path.display()));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = data_set();
        fs::remove_file(folder.path().join("t10k-labels.idx1-ubyte.gz")).unwrap();
        let message = ImageSet::open(folder.path()).unwrap_err().to_string();
        let expected = "holds no `t10k-labels-idx1-ubyte`, neither as it is nor with the ending .gz";
        assert_eq!(message, format!("{}: {expected}", folder.path().display()));
    }
}
