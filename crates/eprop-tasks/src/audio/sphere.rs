//! NIST SPHERE files.
//!
//! A file starts with `NIST_1A` and the size of its header, each a line of 8 bytes. Lines
//! `name -type value` follow, where the type is `i` (integer), `r` (real) or `sN` (N characters), until
//! a line `end_head`; the samples start where the header's size says.

mod header;

use header::Header;

use super::AudioError;
use super::recording::Recording;
use super::source::Source;

/// Reads the header, up to the first sample.
pub(super) fn recording(mut source: Source<'_>) -> Result<Recording<'_>, AudioError> {
    let Header { sample_rate_hz, channels, instants, encoding } = Header::read(&mut source)?;
    Ok(Recording { source, rate_hz: sample_rate_hz, channels, encoding, instants })
}

#[cfg(test)]
mod tests;
