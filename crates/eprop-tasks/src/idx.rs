//! IDX files: arrays of bytes, the format of MNIST (yann.lecun.com/exdb/mnist).
//!
//! | bytes | hold |
//! |---|---|
//! | 2 | zero |
//! | 1 | the type of the values; only 0x08, unsigned bytes, is read |
//! | 1 | the number of dimensions, n |
//! | 4 n | the dimensions, 32 bits each, the high byte first |
//! | the rest | the values; the last dimension varies fastest |
//!
//! A file that begins like a gzip file is decompressed, whatever its name.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::data_file;
use crate::quoted::shown;

/// The type of unsigned bytes.
const UNSIGNED_BYTES: u8 = 0x08;

/// Largest number of values of an array, 1 GiB. No more is read or decompressed.
pub const MAX_VALUES: usize = 1 << 30;

/// Most bytes that one compressed byte can stand for: 258 for two bits (RFC 1951).
const MAX_EXPANSION: u64 = 1032;

/// An array of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxArray {
    /// Its dimensions, none of which is 0.
    pub shape: Vec<usize>,
    /// Its values; the last dimension varies fastest.
    pub data: Vec<u8>,
}

/// Why an IDX file could not be read. Every message is one line that starts with the path.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The file is missing or not a regular file, the system refused to read it, or its compression is damaged.
    #[error("{}: cannot be read: {reason}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The file does not begin with two zeros.
    #[error("{}: not an IDX file: begins with the bytes {found:02x?}, not with [00, 00]", shown(path))]
    NotIdx {
        /// The file.
        path: PathBuf,
        /// Its first two bytes.
        found: [u8; 2],
    },
    /// The values are no unsigned bytes.
    #[error("{}: values of type {found:#04x}, but only 0x08, unsigned bytes, are read", shown(path))]
    Type {
        /// The file.
        path: PathBuf,
        /// Their type.
        found: u8,
    },
    /// The array has another number of dimensions.
    #[error("{}: {found} dimensions, but {expected} are expected", shown(path))]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// The number of dimensions asked for.
        expected: usize,
        /// The number of dimensions in the file.
        found: usize,
    },
    /// A dimension is 0.
    #[error("{}: the array is empty: its dimensions are {shape:?}", shown(path))]
    Empty {
        /// The file.
        path: PathBuf,
        /// The dimensions.
        shape: Vec<usize>,
    },
    /// The array has more than [`MAX_VALUES`] values.
    #[error("{}: dimensions {shape:?}, but at most {MAX_VALUES} values are read", shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The dimensions.
        shape: Vec<usize>,
    },
    /// The file is compressed, and too short for its values.
    #[error(
        "{}: truncated: {expected} bytes are expected, which {compressed} compressed bytes cannot hold",
        shown(path)
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Bytes of the header and of the values that it announces.
        expected: usize,
        /// Bytes of the file.
        compressed: u64,
    },
    /// The file ends too early.
    #[error("{}: truncated: {expected} bytes are expected, {found} are there", shown(path))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of the header and of the values that it announces.
        expected: usize,
        /// Bytes of the file, decompressed.
        found: usize,
    },
    /// The file goes on after the last value.
    #[error("{}: goes on after the {expected} bytes of its header and values", shown(path))]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// Bytes of the header and of the values that it announces.
        expected: usize,
    },
}

/// Reads a file that holds an array of so many dimensions.
///
/// Memory is taken for the values that the file claims, once its length tells that they may be there.
///
/// # Errors
///
/// If it cannot be read, is damaged, or holds another kind of array.
pub fn read_idx(path: &Path, dimensions: usize) -> Result<IdxArray, IdxError> {
    let unreadable = |reason| IdxError::Unreadable { path: path.into(), reason };
    let (file, length) = data_file::open(path).map_err(unreadable)?;
    let mut file = BufReader::new(file);
    if file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]) {
        let check = |expected: usize| {
            let possible = expected as u64 <= length.saturating_mul(MAX_EXPANSION);
            let short = || IdxError::TooShort { path: path.into(), expected, compressed: length };
            possible.then_some(()).ok_or_else(short)
        };
        read_array(path, BufReader::new(MultiGzDecoder::new(file)), dimensions, check)
    } else {
        let check = |expected: usize| {
            let found = length as usize;
            let short = || IdxError::Truncated { path: path.into(), expected, found };
            (expected <= found).then_some(()).ok_or_else(short)
        };
        read_array(path, file, dimensions, check)
    }
}

/// Reads an array after `check` of whether so many bytes can be there.
fn read_array(
    path: &Path,
    mut source: impl Read,
    dimensions: usize,
    check: impl Fn(usize) -> Result<(), IdxError>,
) -> Result<IdxArray, IdxError> {
    let magic = read_exactly(path, &mut source, 0, 4)?;
    if magic[..2] != [0, 0] {
        return Err(IdxError::NotIdx { path: path.into(), found: [magic[0], magic[1]] });
    }
    if magic[2] != UNSIGNED_BYTES {
        return Err(IdxError::Type { path: path.into(), found: magic[2] });
    }
    let found = usize::from(magic[3]);
    if found != dimensions {
        return Err(IdxError::Dimensions { path: path.into(), expected: dimensions, found });
    }
    let header = read_exactly(path, &mut source, 4, 4 * dimensions)?;
    let shape: Vec<usize> =
        header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    if shape.contains(&0) {
        return Err(IdxError::Empty { path: path.into(), shape });
    }
    let values = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    let Some(values) = values.filter(|&values| values <= MAX_VALUES) else {
        return Err(IdxError::TooLarge { path: path.into(), shape });
    };
    let before = 4 + header.len();
    check(before + values)?;
    let data = read_exactly(path, &mut source, before, values)?;
    // The end is looked for even so: it is where a gzip file has its checksum.
    let trailing = source.take(1).read_to_end(&mut Vec::new());
    if trailing.map_err(|reason| IdxError::Unreadable { path: path.into(), reason })? > 0 {
        return Err(IdxError::TrailingBytes { path: path.into(), expected: before + values });
    }
    Ok(IdxArray { shape, data })
}

/// The next `count` bytes, of which `before` came earlier.
fn read_exactly(
    path: &Path,
    source: &mut impl Read,
    before: usize,
    count: usize,
) -> Result<Vec<u8>, IdxError> {
    let mut bytes = Vec::with_capacity(count);
    source
        .take(count as u64)
        .read_to_end(&mut bytes)
        .map_err(|reason| IdxError::Unreadable { path: path.into(), reason })?;
    if bytes.len() < count {
        let (expected, found) = (before + count, before + bytes.len());
        return Err(IdxError::Truncated { path: path.into(), expected, found });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const MATRIX: [u8; 18] = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_bytes(bytes: &[u8], dimensions: usize) -> Result<IdxArray, IdxError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let array = read_idx(file.path(), dimensions);
        if let Err(error) = &array {
            let message = error.to_string();
            assert!(message.starts_with(&*file.path().to_string_lossy()), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        array
    }

    fn message(bytes: &[u8]) -> String {
        let message = read_bytes(bytes, 2).unwrap_err().to_string();
        message.split_once(": ").unwrap().1.to_owned()
    }

    #[test]
    fn arrays_are_read_plain_and_compressed() {
        let expected = IdxArray { shape: vec![2, 3], data: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(read_bytes(&MATRIX, 2).unwrap(), expected);
        assert_eq!(read_bytes(&gzip(&MATRIX), 2).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let with = |at: usize, value: u8| {
            let mut bytes = MATRIX;
            bytes[at] = value;
            message(&bytes)
        };
        assert_eq!(with(1, 7), "not an IDX file: begins with the bytes [00, 07], not with [00, 00]");
        assert_eq!(with(2, 0x0d), "values of type 0x0d, but only 0x08, unsigned bytes, are read");
        assert_eq!(with(3, 3), "3 dimensions, but 2 are expected");
        assert_eq!(with(7, 0), "the array is empty: its dimensions are [0, 3]");
        assert_eq!(with(8, 64), "dimensions [2, 1073741827], but at most 1073741824 values are read");
        assert_eq!(with(11, 4), "truncated: 20 bytes are expected, 18 are there");
        assert_eq!(with(11, 2), "goes on after the 16 bytes of its header and values");
        let missing = read_idx(Path::new("no/such/file"), 2).unwrap_err().to_string();
        assert!(missing.starts_with("no/such/file: cannot be read: "), "{missing}");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let compressed = gzip(&MATRIX);
        for bytes in [&MATRIX[..], &compressed] {
            for length in 0..bytes.len() {
                assert!(read_bytes(&bytes[..length], 2).is_err(), "{length} of {} bytes", bytes.len());
            }
        }
        assert_eq!(message(&MATRIX[..10]), "truncated: 12 bytes are expected, 10 are there");
    }

    #[test]
    fn a_damaged_compressed_file_is_never_read_as_another_array() {
        let compressed = gzip(&MATRIX);
        for at in 0..compressed.len() {
            let mut bytes = compressed.clone();
            bytes[at] ^= 0x10;
            if let Ok(array) = read_bytes(&bytes, 2) {
                assert_eq!(array.data, [1, 2, 3, 4, 5, 6], "byte {at}");
            }
        }
    }

    #[test]
    fn what_goes_on_behind_the_values_is_not_decompressed() {
        let bomb = gzip(&[&MATRIX[..], &[0; 1 << 24]].concat());
        assert_eq!(message(&bomb), "goes on after the 18 bytes of its header and values");
    }

    #[test]
    fn huge_dimensions_take_no_memory() {
        let claims = [0, 0, 8, 2, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 1];
        assert_eq!(message(&claims), "truncated: 1073741836 bytes are expected, 13 are there");
        let small = gzip(&claims);
        let expected =
            format!("truncated: 1073741836 bytes are expected, which {} compressed bytes", small.len());
        assert_eq!(message(&small), format!("{expected} cannot hold"));
        let overflow = [0, 0, 8, 2, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(message(&overflow).starts_with("dimensions [4294967295, 4294967295]"));
    }
}
