//! RIFF/WAVE files.
//!
//! A file is `RIFF`, a size, `WAVE`, and chunks. A chunk is a name of four bytes, the size of its content and the content; a zero
//! byte, which the size does not count, follows a content of odd size. `fmt ` says how the samples are stored, `data` holds them, and
//! other chunks are passed over. All numbers have their low byte first.

mod format;

use std::path::Path;

use format::Format;

use super::AudioError;
use super::recording::Recording;
use super::source::Source;
use crate::quoted::quoted;

/// Sizes that FFmpeg, SoX and arecord give a `data` chunk whose length they do not know, as when they write to a pipe. The size of
/// the file is then as large.
const UNKNOWN_SIZES: [u32; 3] = [0xFFFF_FFFF, 0x7FFF_F000, 0x8000_0000];

/// Reads the header, up to the first sample.
pub(super) fn recording(mut source: Source<'_>) -> Result<Recording<'_>, AudioError> {
    let (name, file_size) = chunk(&mut source)?;
    if &name != b"RIFF" {
        let name = quoted(&String::from_utf8_lossy(&name));
        return Err(not_wav(source.path, format!("it starts with `{name}`, not with `RIFF`")));
    }
    if source.read_up_to(4)? != b"WAVE" {
        return Err(not_wav(source.path, "it is another kind of RIFF file"));
    }
    let mut format = None;
    loop {
        let (name, size) = chunk(&mut source)?;
        match &name {
            b"data" => {
                let format = format.ok_or_else(|| not_wav(source.path, "it has samples before `fmt `"))?;
                return with_samples(source, &format, size, file_size);
            }
            b"fmt " => {
                let content = source.read_up_to(size.min(format::MAX_BYTES))?;
                format = Some(Format::parse(source.path, &content)?);
                source.skip(size - content.len() as u32)?;
            }
            _ => source.skip(size)?,
        }
        // Where the writer left this byte out, the next name stands here; none starts with 0.
        if !size.is_multiple_of(2) && source.continues_with(&[0])? {
            source.skip(1)?;
        }
    }
}

/// Name and size of the next chunk.
fn chunk(source: &mut Source<'_>) -> Result<([u8; 4], u32), AudioError> {
    match source.read_up_to(8)?.as_slice() {
        &[a, b, c, d, e, f, g, h] => Ok(([a, b, c, d], u32::from_le_bytes([e, f, g, h]))),
        _ => Err(not_wav(source.path, "it ends before any samples")),
    }
}

/// The recording whose samples come next, in a chunk of `size` bytes.
fn with_samples<'a>(
    mut source: Source<'a>,
    format: &Format,
    size: u32,
    file_size: u32,
) -> Result<Recording<'a>, AudioError> {
    let &Format { rate_hz, channels, encoding } = format;
    let (left, instant) = (source.left()?, (channels * encoding.bytes()) as u64);
    let unknown = UNKNOWN_SIZES.contains(&size) && file_size >= size && left < size.into();
    // A header in which a recorder was to fill in both sizes at the end.
    let unfinished = size == 0 && file_size == 0;
    let bytes = if unknown || unfinished {
        let padded = left % instant == 1 && left.is_multiple_of(2);
        left - u64::from(padded)
    } else {
        size.into()
    };
    if bytes == 0 {
        return Err(AudioError::Empty { path: source.path.into() });
    }
    if !bytes.is_multiple_of(instant) {
        let reason =
            format!("its {bytes} bytes of samples are no multiple of {instant}, one of each channel");
        return Err(not_wav(source.path, reason));
    }
    Ok(Recording { source, rate_hz, channels, encoding, instants: bytes / instant })
}

fn not_wav(path: &Path, reason: impl Into<String>) -> AudioError {
    AudioError::NotWav { path: path.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests;
