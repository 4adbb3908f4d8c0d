//! NIST SPHERE files.
//!
//! A file starts with `NIST_1A` and the size of its header, each a line of 8 bytes. Lines
//! `name -type value` follow, where the type is `i` (integer), `r` (real) or `sN` (N characters), until
//! a line `end_head`; the samples start where the header's size says.

mod header;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use header::{ByteOrder, Header};

use super::{AudioError, at_rate, check_rate};

/// Bytes of a sample.
const SAMPLE_BYTES: u64 = 2;

/// Reads a NIST SPHERE file of 16-bit PCM as mono samples in [-1, 1] at `sample_rate_hz`.
///
/// Channels are averaged and other rates resampled as [`read_wav`](super::read_wav) does. Compressed
/// files (`sample_coding` such as `pcm,embedded-shorten-v2.00`) are refused by name.
pub fn read_sphere(path: impl AsRef<Path>, sample_rate_hz: u32) -> Result<Vec<f32>, AudioError> {
    let path = path.as_ref();
    check_rate(path, "requested", sample_rate_hz)?;
    let unreadable = |reason| AudioError::Unreadable { path: path.into(), reason };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let header = Header::read(path, &mut reader)?;
    check_rate(path, "recorded", header.sample_rate_hz)?;

    // Memory grows with what is read, whatever the header promises.
    let promised = header.samples;
    let mut data = Vec::new();
    reader.take(promised.saturating_mul(SAMPLE_BYTES)).read_to_end(&mut data).map_err(unreadable)?;
    let found = data.len() / SAMPLE_BYTES as usize;
    if (found as u64) < promised {
        return Err(AudioError::Truncated { path: path.into(), promised, found });
    }
    at_rate(path, mono(&data, &header), header.sample_rate_hz, sample_rate_hz)
}

/// The mean over the channels, full scale at 1.
fn mono(data: &[u8], header: &Header) -> Vec<f32> {
    let level = |bytes: &[u8]| match header.byte_order {
        ByteOrder::Little => i16::from_le_bytes([bytes[0], bytes[1]]),
        ByteOrder::Big => i16::from_be_bytes([bytes[0], bytes[1]]),
    };
    let scale = 0.5_f32.powi(15) / header.channels as f32;
    data.chunks_exact(header.channels * SAMPLE_BYTES as usize)
        .map(|instant| {
            let levels = instant.chunks_exact(SAMPLE_BYTES as usize).map(|bytes| f32::from(level(bytes)));
            levels.sum::<f32>() * scale
        })
        .collect()
}

#[cfg(test)]
mod tests;
