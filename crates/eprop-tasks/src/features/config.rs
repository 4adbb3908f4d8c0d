//! Configuration of the log-mel features.

use serde::{Deserialize, Serialize};

use crate::audio::SAMPLE_RATES_HZ;
use crate::range_error::RangeError;

/// Configuration of the log-mel features; the equations are those of the [module](super).
///
/// The defaults give 64 features a frame: 32 bands and their slopes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogMelConfig {
    /// Sample rate of the recordings in Hz.
    pub sample_rate_hz: u32,
    /// Pre-emphasis a of equation 1; 0 for none.
    pub pre_emphasis: f32,
    /// Length of the Hamming window in ms.
    pub window_ms: f32,
    /// Time from one frame to the next in ms.
    pub hop_ms: f32,
    /// Samples of the Fourier transform; the window is padded with zeros to it.
    pub fft_size: usize,
    /// Number M of mel bands.
    pub bands: usize,
    /// Lower edge of the lowest band in Hz.
    pub low_hz: f32,
    /// Upper edge of the highest band in Hz.
    pub high_hz: f32,
    /// Factor of the bands' frequencies: voices whose vocal tracts are shorter, and formants higher, by it are heard as others without (Jaitly and
    /// Hinton 2013).
    pub warp: f32,
    /// What equations 5 and 7 add to an energy.
    pub floor: f32,
    /// Number of cepstral coefficients kept in place of the bands (equation 6).
    pub cepstra: Option<usize>,
    /// Whether the energy of the frame follows the bands or cepstra (equation 7).
    pub energy: bool,
    /// 0: no slopes, 1: Δ, 2: Δ and ΔΔ (equation 8).
    pub deltas: u8,
    /// Frames on either side over which a slope is taken.
    pub delta_frames: usize,
    /// Whether every feature has mean 0 and deviation 1 within each recording: what microphone and voice add to all frames is taken
    /// out.
    pub normalize: bool,
}

impl Default for LogMelConfig {
    fn default() -> Self {
        Self {
            sample_rate_hz: 8_000,
            pre_emphasis: 0.97,
            window_ms: 25.0,
            hop_ms: 10.0,
            fft_size: 256,
            bands: 32,
            low_hz: 50.0,
            high_hz: 4_000.0,
            warp: 1.0,
            floor: 1e-6,
            cepstra: None,
            energy: false,
            deltas: 1,
            delta_frames: 2,
            normalize: false,
        }
    }
}

impl LogMelConfig {
    /// 40 bands up to 8 kHz of recordings at 16 kHz, and their slopes; the rest as by default.
    pub fn wideband() -> Self {
        Self { sample_rate_hz: 16_000, fft_size: 512, bands: 40, high_hz: 8_000.0, ..Self::default() }
    }

    /// Samples of a window.
    pub fn window_samples(&self) -> usize {
        self.samples(self.window_ms)
    }

    /// Samples from one frame to the next.
    pub fn hop_samples(&self) -> usize {
        self.samples(self.hop_ms)
    }

    /// Features of a frame: bands or cepstra and the energy, and as many for each order of slopes.
    pub fn feature_count(&self) -> usize {
        (self.cepstra.unwrap_or(self.bands) + usize::from(self.energy)) * (1 + usize::from(self.deltas))
    }

    /// Rounded to whole samples; 0 for NaN and what is negative.
    fn samples(&self, duration_ms: f32) -> usize {
        (f64::from(duration_ms) * f64::from(self.sample_rate_hz) / 1_000.0).round() as usize
    }

    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        self.validate_frames()?;
        self.validate_bands()?;
        if let Some(cepstra) = self.cepstra {
            RangeError::check(
                (1..=self.bands).contains(&cepstra),
                "cepstra",
                cepstra,
                format!("1 to {}, the number of bands", self.bands),
            )?;
        }
        RangeError::check(self.deltas <= 2, "deltas", self.deltas, "0 to 2")?;
        RangeError::check(
            (1..=50).contains(&self.delta_frames),
            "delta_frames",
            self.delta_frames,
            "1 to 50 frames",
        )
    }

    fn validate_frames(&self) -> Result<(), RangeError> {
        RangeError::check(
            SAMPLE_RATES_HZ.contains(&self.sample_rate_hz),
            "sample_rate_hz",
            self.sample_rate_hz,
            format!("{} to {} Hz", SAMPLE_RATES_HZ.start(), SAMPLE_RATES_HZ.end()),
        )?;
        RangeError::check(
            (0.0..1.0).contains(&self.pre_emphasis),
            "pre_emphasis",
            self.pre_emphasis,
            "at least 0 and less than 1",
        )?;
        RangeError::check(
            (2..=65_536).contains(&self.fft_size),
            "fft_size",
            self.fft_size,
            "2 to 65536 samples",
        )?;
        RangeError::check(
            (2..=self.fft_size).contains(&self.window_samples()),
            "window_ms",
            self.window_ms,
            format!(
                "2 to {} samples (`fft_size`), which is {} to {} ms",
                self.fft_size,
                self.duration_ms(2),
                self.duration_ms(self.fft_size)
            ),
        )?;
        RangeError::check(
            self.hop_samples() >= 1 && self.hop_ms <= 1_000.0,
            "hop_ms",
            self.hop_ms,
            format!("1 sample ({} ms) to 1000 ms", self.duration_ms(1)),
        )
    }

    fn validate_bands(&self) -> Result<(), RangeError> {
        let nyquist_hz = self.sample_rate_hz as f32 / 2.0;
        RangeError::check(
            self.high_hz > 0.0 && self.high_hz <= nyquist_hz,
            "high_hz",
            self.high_hz,
            format!("greater than 0 and at most {nyquist_hz} Hz, half the sample rate"),
        )?;
        RangeError::check(
            self.low_hz >= 0.0 && self.low_hz < self.high_hz,
            "low_hz",
            self.low_hz,
            format!("at least 0 and less than {} Hz (`high_hz`)", self.high_hz),
        )?;
        let most = nyquist_hz / self.high_hz;
        RangeError::check(
            self.warp > 0.0 && self.warp <= most,
            "warp",
            self.warp,
            format!("greater than 0 and at most {most}, which takes {} Hz to {nyquist_hz} Hz", self.high_hz),
        )?;
        RangeError::check(
            (1..=self.fft_size / 2).contains(&self.bands),
            "bands",
            self.bands,
            format!("1 to {}, half of `fft_size`", self.fft_size / 2),
        )?;
        RangeError::check(
            self.floor > 0.0 && self.floor <= 1.0,
            "floor",
            self.floor,
            "greater than 0 and at most 1",
        )
    }

    fn duration_ms(&self, samples: usize) -> f64 {
        samples as f64 * 1_000.0 / f64::from(self.sample_rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_give_64_features_every_80_samples() {
        let config = LogMelConfig::default();
        config.validate().unwrap();
        assert_eq!(config.window_samples(), 200);
        assert_eq!(config.hop_samples(), 80);
        assert_eq!(config.feature_count(), 64);
    }

    #[test]
    fn the_energy_counts_and_has_slopes() {
        let config = LogMelConfig { energy: true, deltas: 2, ..LogMelConfig::wideband() };
        config.validate().unwrap();
        assert_eq!(config.feature_count(), 123);
    }

    #[test]
    fn files_from_before_the_energy_are_read() {
        let text = toml::to_string(&LogMelConfig::default()).unwrap();
        let older: String = text.split_inclusive('\n').filter(|line| !line.starts_with("energy")).collect();
        assert_ne!(older, text);
        assert_eq!(toml::from_str::<LogMelConfig>(&older).unwrap(), LogMelConfig::default());
    }

    #[test]
    fn every_field_out_of_range_is_named() {
        type Edit = fn(&mut LogMelConfig);
        let edits: [(&str, Edit); 16] = [
            ("sample_rate_hz", |c| c.sample_rate_hz = 0),
            ("pre_emphasis", |c| c.pre_emphasis = 1.0),
            ("pre_emphasis", |c| c.pre_emphasis = f32::NAN),
            ("window_ms", |c| c.window_ms = 32.2),
            ("window_ms", |c| c.window_ms = f32::NAN),
            ("hop_ms", |c| c.hop_ms = 0.01),
            ("fft_size", |c| c.fft_size = 1),
            ("bands", |c| c.bands = 0),
            ("low_hz", |c| c.low_hz = 4_000.0),
            ("high_hz", |c| c.high_hz = 4_001.0),
            ("warp", |c| c.warp = 1.01),
            ("warp", |c| c.warp = f32::NAN),
            ("floor", |c| c.floor = 0.0),
            ("cepstra", |c| c.cepstra = Some(33)),
            ("deltas", |c| c.deltas = 3),
            ("delta_frames", |c| c.delta_frames = 0),
        ];
        for (field, edit) in edits {
            let mut config = LogMelConfig::default();
            edit(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        }
    }

    #[test]
    fn the_message_names_field_value_and_range() {
        let config = LogMelConfig { window_ms: 50.0, ..Default::default() };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "`window_ms` is 50, but must be 2 to 256 samples (`fft_size`), which is 0.25 to 32 ms"
        );
    }
}
