//! The chunk `fmt `: how the samples are stored (WAVEFORMATEX and WAVEFORMATEXTENSIBLE of Microsoft's mmreg.h).
//!
//! | byte | size | holds |
//! |---|---|---|
//! | 0 | 2 | the encoding's tag, or 0xFFFE for the extensible form |
//! | 2 | 2 | number of channels |
//! | 4 | 4 | sample rate in Hz |
//! | 8 | 4 | bytes of a second |
//! | 12 | 2 | bytes of an instant: a sample of each channel |
//! | 14 | 2 | bits of a sample |
//! | 16 | 2 | extensible: bytes of what follows, at least 22 |
//! | 18 | 2 | extensible: how many of the bits are valid; 0 for all |
//! | 20 | 4 | extensible: where the loudspeakers stand |
//! | 24 | 16 | extensible: the encoding, its tag first |
//!
//! A chunk may be longer than what is known of it. Valid bits are the high ones of the bits, which are thus read as if all were valid.
//! The bits are the low ones of the bytes, where there are more bytes than they need: ALSA's 24 bits in 4 bytes.

use std::path::Path;

use super::not_wav;
use crate::audio::AudioError;
use crate::audio::pcm::Encoding;

/// Bytes of the shortest chunk.
const MIN_BYTES: u32 = 16;
/// Bytes of the extensible form, and the most that are read.
pub(super) const MAX_BYTES: u32 = 40;

const INTEGERS: u16 = 0x0001;
const FLOATS: u16 = 0x0003;
const EXTENSIBLE: u16 = 0xFFFE;

/// What follows the tag in the identifier of an encoding that has a tag.
const TAGGED: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// How samples are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) rate_hz: u32,
    /// At least 1.
    pub(super) channels: usize,
    pub(super) encoding: Encoding,
}

impl Format {
    /// Reads the content of the chunk, or the first [`MAX_BYTES`] of it.
    pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Self, AudioError> {
        check_size(path, content, MIN_BYTES)?;
        let [mut tag, channels, instant_bytes, bits] = [0, 2, 12, 14].map(|at| u16_at(content, at));
        let [rate_hz, byte_rate] = [4, 8].map(|at| u32_at(content, at));
        let mut valid_bits = bits;
        if tag == EXTENSIBLE {
            check_size(path, content, MAX_BYTES)?;
            tag = if content[26..] == TAGGED { u16_at(content, 24) } else { EXTENSIBLE };
            valid_bits = Some(u16_at(content, 18)).filter(|&valid| valid > 0).unwrap_or(bits);
        }
        let unsupported = |encoding| AudioError::Unsupported { path: path.into(), encoding };
        if !matches!(tag, INTEGERS | FLOATS) {
            return Err(unsupported(name_of(tag)));
        }
        let bytes = instant_bytes / channels.max(1);
        let faults = [
            (channels == 0, "it has no channels"),
            (instant_bytes != bytes * channels, "its samples have no whole number of bytes"),
            (bits / 8 > bytes, "its samples have more bits than their bytes"),
            (valid_bits > bits, "its samples have more valid bits than bits"),
            (
                rate_hz.checked_mul(instant_bytes.into()) != Some(byte_rate),
                "its sample rate contradicts its bytes of a second",
            ),
        ];
        if let Some((_, fault)) = faults.into_iter().find(|(is_there, _)| *is_there) {
            return Err(not_wav(path, fault));
        }
        let encoding = encoding(tag, bits, valid_bits, bytes).map_err(unsupported)?;
        Ok(Self { rate_hz, channels: channels.into(), encoding })
    }
}

fn check_size(path: &Path, content: &[u8], least: u32) -> Result<(), AudioError> {
    if content.len() >= least as usize {
        return Ok(());
    }
    Err(not_wav(path, format!("its chunk `fmt ` has {} bytes, but must have {least}", content.len())))
}

/// The encoding of samples, or its name if it is none of ours.
fn encoding(tag: u16, bits: u16, valid_bits: u16, bytes: u16) -> Result<Encoding, String> {
    let (kind, widths) = match tag {
        INTEGERS => ("integer PCM", &[8, 16, 24, 32][..]),
        _ => ("float PCM", &[32][..]),
    };
    if let Some(width) = [valid_bits, bits].into_iter().find(|width| !widths.contains(width)) {
        return Err(format!("{width}-bit {kind}"));
    }
    match (tag, bits, bytes) {
        (INTEGERS, 8, 1) => Ok(Encoding::Unsigned8),
        (INTEGERS, 16, 2) => Ok(Encoding::Signed16),
        (INTEGERS, 24, 3) => Ok(Encoding::Signed24),
        (INTEGERS, 24, 4) => Ok(Encoding::Signed24Of32),
        (INTEGERS, 32, 4) => Ok(Encoding::Signed32),
        (FLOATS, 32, 4) => Ok(Encoding::Float32),
        _ => Err(format!("{bits}-bit {kind} with padded samples")),
    }
}

/// The name of an encoding that is not read, by its tag (RFC 2361).
fn name_of(tag: u16) -> String {
    match tag {
        0x0002 | 0x0011 => "ADPCM".into(),
        0x0006 => "A-law".into(),
        0x0007 => "µ-law".into(),
        0x0050 | 0x0055 => "MPEG audio".into(),
        _ => format!("encoding 0x{tag:04X}"),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
