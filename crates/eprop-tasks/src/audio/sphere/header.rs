//! The header of a NIST SPHERE file.

use std::collections::HashMap;
use std::path::Path;

use crate::audio::AudioError;
use crate::audio::pcm::Encoding;
use crate::audio::source::Source;
use crate::quoted::quoted;

/// What the two lines of fixed length fill.
const FIXED_BYTES: usize = 16;
/// A header is a multiple of this.
const BLOCK_BYTES: usize = 1024;
/// Largest header that is read. Those of the corpora are a block.
const MAX_HEADER_BYTES: usize = 64 * BLOCK_BYTES;
/// Most channels that are averaged.
const MAX_CHANNELS: u64 = 256;

/// What the header says of the samples.
#[derive(Debug)]
pub(super) struct Header {
    /// Rate in Hz, of any value.
    pub(super) sample_rate_hz: u32,
    /// At least 1.
    pub(super) channels: usize,
    /// Samples of each channel, as promised.
    pub(super) instants: u64,
    /// 16 bits, in the order that `sample_byte_format` tells.
    pub(super) encoding: Encoding,
}

impl Header {
    /// Reads the whole header: the next byte of `source` is the first sample's.
    pub(super) fn read(source: &mut Source<'_>) -> Result<Self, AudioError> {
        let fields = Fields::read(source)?;
        // The coding comes first: compressed files are to be refused by its name.
        fields.expect("sample_coding", "pcm", Some("pcm"))?;
        fields.expect("sample_n_bytes", "2", None)?;
        let encoding = match fields.required("sample_byte_format")? {
            "01" => Encoding::Signed16,
            "10" => Encoding::BigEndian16,
            other => return Err(fields.unsupported("sample_byte_format", other)),
        };
        let channels = fields.integer("channel_count", 1..=MAX_CHANNELS)?;
        if channels > 1 {
            fields.expect("channels_interleaved", "true", Some("true"))?;
        }
        let instants = fields.integer("sample_count", 0..=u64::MAX)?;
        if instants == 0 {
            return Err(AudioError::Empty { path: source.path.into() });
        }
        Ok(Self {
            sample_rate_hz: fields.integer("sample_rate", 0..=u32::MAX.into())? as u32,
            channels: channels as usize,
            instants,
            encoding,
        })
    }
}

/// The values of a header by their names.
struct Fields<'a> {
    path: &'a Path,
    values: HashMap<String, String>,
}

impl<'a> Fields<'a> {
    fn read(source: &mut Source<'a>) -> Result<Self, AudioError> {
        let path = source.path;
        let fixed = read_bytes(source, FIXED_BYTES, FIXED_BYTES)?;
        let size = fixed
            .strip_prefix(b"NIST_1A\n")
            .and_then(|line| line.strip_suffix(b"\n"))
            .and_then(|line| std::str::from_utf8(line).ok()?.trim().parse::<usize>().ok())
            .ok_or_else(|| not_sphere(path, "it does not start with `NIST_1A` and its header's size"))?;
        if !size.is_multiple_of(BLOCK_BYTES) || !(BLOCK_BYTES..=MAX_HEADER_BYTES).contains(&size) {
            let reason = format!(
                "its header's size is {size} bytes, but must be a multiple of {BLOCK_BYTES} up to \
                 {MAX_HEADER_BYTES}"
            );
            return Err(not_sphere(path, reason));
        }
        let lines = read_bytes(source, size - FIXED_BYTES, size)?;
        Ok(Self { path, values: values_of(path, &lines)? })
    }

    fn required(&self, name: &'static str) -> Result<&str, AudioError> {
        let value = self.values.get(name).map(String::as_str);
        value.ok_or_else(|| AudioError::MissingField { path: self.path.into(), field: name })
    }

    /// Refuses every other value than `wanted`, in either case, by its name. A field that is left out
    /// has the value `absent`.
    fn expect(&self, name: &'static str, wanted: &str, absent: Option<&str>) -> Result<(), AudioError> {
        let value = match (self.values.get(name), absent) {
            (None, Some(absent)) => absent,
            _ => self.required(name)?,
        };
        if value.eq_ignore_ascii_case(wanted) {
            return Ok(());
        }
        Err(self.unsupported(name, value))
    }

    fn integer(&self, name: &'static str, range: std::ops::RangeInclusive<u64>) -> Result<u64, AudioError> {
        let value = self.required(name)?;
        value.parse().ok().filter(|integer| range.contains(integer)).ok_or_else(|| {
            let (low, high) = range.into_inner();
            let value = quoted(value);
            not_sphere(self.path, format!("`{name}` is `{value}`, but must be {low} to {high}"))
        })
    }

    fn unsupported(&self, field: &'static str, value: &str) -> AudioError {
        AudioError::UnsupportedSphere { path: self.path.into(), field, value: quoted(value) }
    }
}

/// The next `count` bytes of a header of `size` bytes.
fn read_bytes(source: &mut Source<'_>, count: usize, size: usize) -> Result<Vec<u8>, AudioError> {
    let bytes = source.read_up_to(count as u32)?;
    if bytes.len() < count {
        let found = size - count + bytes.len();
        let reason = format!("it ends after {found} of the header's {size} bytes");
        return Err(not_sphere(source.path, reason));
    }
    Ok(bytes)
}

/// The values of the lines up to `end_head`.
fn values_of(path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>, AudioError> {
    let mut values = HashMap::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\r');
        if line.trim_end() == "end_head" {
            return Ok(values);
        }
        if line.trim().is_empty() || line.starts_with(';') {
            continue;
        }
        let Some((name, value)) = field_of(line) else {
            // Two lines of fixed length go before.
            let (number, line) = (index + 3, quoted(line));
            return Err(not_sphere(path, format!("line {number} of its header is `{line}`")));
        };
        values.insert(name.to_owned(), value.to_owned());
    }
    Err(not_sphere(path, "its header has no line `end_head`"))
}

/// Name and value of a line `name -type value`; what follows the value is a comment.
fn field_of(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once(' ')?;
    let (kind, rest) = rest.trim_start().split_once(' ')?;
    let value = match kind.strip_prefix('-')? {
        "i" | "r" => rest.split([' ', ';']).find(|part| !part.is_empty())?,
        kind => rest.get(..kind.strip_prefix('s')?.parse().ok()?)?.trim(),
    };
    Some((name, value))
}

fn not_sphere(path: &Path, reason: impl Into<String>) -> AudioError {
    AudioError::NotSphere { path: path.into(), reason: reason.into() }
}
