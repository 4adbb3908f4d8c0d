//! Reading the features of recordings at 16 kHz from a configuration file.

use serde::{Deserialize, Deserializer};

use super::LogMelConfig;

/// Reads a [`LogMelConfig`] in which the fields that are left out are those of
/// [`LogMelConfig::wideband`]. With the defaults at 8 kHz, a file that names the number of bands alone
/// would halve the sample rate as well.
#[derive(Deserialize)]
#[serde(remote = "LogMelConfig", default = "LogMelConfig::wideband", deny_unknown_fields)]
pub(crate) struct Wideband {
    sample_rate_hz: u32,
    pre_emphasis: f32,
    window_ms: f32,
    hop_ms: f32,
    fft_size: usize,
    bands: usize,
    low_hz: f32,
    high_hz: f32,
    warp: f32,
    floor: f32,
    cepstra: Option<usize>,
    energy: bool,
    deltas: u8,
    delta_frames: usize,
    normalize: bool,
}

impl Wideband {
    /// For `#[serde(deserialize_with)]`.
    pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogMelConfig, D::Error> {
        Self::deserialize(deserializer)
    }
}
