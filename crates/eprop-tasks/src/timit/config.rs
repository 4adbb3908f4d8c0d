//! How the sentences are read.

use serde::{Deserialize, Serialize};

use crate::features::{LogMelConfig, Wideband};

/// How the sentences are read; by default as [`TimitConfig::mfcc`].
///
/// In a configuration file, the `features` that are left out are those of [`LogMelConfig::wideband`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimitConfig {
    /// The features.
    #[serde(deserialize_with = "Wideband::read")]
    pub features: LogMelConfig,
}

impl TimitConfig {
    /// 39 features: 13 MFCC of 26 bands, Δ and ΔΔ.
    pub fn mfcc() -> Self {
        let features = LogMelConfig { bands: 26, cepstra: Some(13), deltas: 2, ..LogMelConfig::wideband() };
        Self { features }
    }

    /// 123 features: 40 bands and the energy, Δ and ΔΔ.
    pub fn log_mel() -> Self {
        let features = LogMelConfig { energy: true, deltas: 2, ..LogMelConfig::wideband() };
        Self { features }
    }
}

impl Default for TimitConfig {
    fn default() -> Self {
        Self::mfcc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_have_39_and_123_features_of_25_ms_every_10_ms() {
        for (config, count) in [(TimitConfig::mfcc(), 39), (TimitConfig::log_mel(), 123)] {
            config.features.validate().unwrap();
            assert_eq!(config.features.feature_count(), count);
            let LogMelConfig { sample_rate_hz, fft_size, .. } = config.features;
            assert_eq!((sample_rate_hz, fft_size), (16_000, 512));
            assert_eq!((config.features.window_samples(), config.features.hop_samples()), (400, 160));
        }
    }

    #[test]
    fn configurations_survive_a_file() {
        for config in [TimitConfig::mfcc(), TimitConfig::log_mel()] {
            let text = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<TimitConfig>(&text).unwrap(), config);
        }
    }

    #[test]
    fn what_a_file_leaves_out_is_that_of_16_khz() {
        assert_eq!(toml::from_str::<TimitConfig>("").unwrap(), TimitConfig::mfcc());
        let config: TimitConfig = toml::from_str("[features]\nbands = 30\n").unwrap();
        assert_eq!(config.features, LogMelConfig { bands: 30, ..LogMelConfig::wideband() });
        for text in ["speakers = 3", "[features]\nband = 3"] {
            let error = toml::from_str::<TimitConfig>(text).unwrap_err();
            assert!(error.to_string().contains("unknown field"), "{error}");
        }
    }
}
