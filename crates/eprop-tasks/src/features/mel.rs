//! Triangular mel bands and the cosine transform of their logarithms.

use std::f64::consts::PI;

use crate::range_error::RangeError;

use super::config::LogMelConfig;

/// A triangular weighting of the FFT bins from `first_bin` on.
#[derive(Debug, Clone)]
pub(super) struct Band {
    first_bin: usize,
    weights: Vec<f32>,
}

impl Band {
    /// Weighted sum of the power spectrum (equation 4 of the module).
    pub(super) fn energy(&self, power: &[f32]) -> f32 {
        let bins = &power[self.first_bin..];
        self.weights.iter().zip(bins).map(|(w, p)| w * p).sum()
    }
}

/// Mel of a frequency (HTK's formula).
fn mel(hz: f64) -> f64 {
    2595.0 * (1.0 + hz / 700.0).log10()
}

fn hz(mel: f64) -> f64 {
    700.0 * (10_f64.powf(mel / 2595.0) - 1.0)
}

/// The bands' edges and centres in Hz: band m rises from edge m to 1 at edge m+1 and falls to edge
/// m+2. Equally spaced on the mel scale, but for the warp.
pub(super) fn edges_hz(config: &LogMelConfig) -> Vec<f64> {
    let (low, high) = (mel(config.low_hz.into()), mel(config.high_hz.into()));
    let steps = config.bands + 1;
    let warp = f64::from(config.warp);
    (0..=steps).map(|i| warp * hz(low + (high - low) * i as f64 / steps as f64)).collect()
}

/// The filterbank; an error where a band is so narrow that it holds no FFT bin.
pub(super) fn bands(config: &LogMelConfig) -> Result<Vec<Band>, RangeError> {
    let bin_hz = f64::from(config.sample_rate_hz) / config.fft_size as f64;
    let edges = edges_hz(config);
    let bands: Vec<Band> = edges.windows(3).map(|e| band(e, bin_hz, config)).collect();
    let narrow = bands.iter().position(|band| band.weights.is_empty());
    RangeError::check(
        narrow.is_none(),
        "bands",
        config.bands,
        format!(
            "so few that each holds an FFT bin: band {} lies between two bins of {bin_hz} Hz",
            narrow.unwrap_or(0)
        ),
    )?;
    Ok(bands)
}

fn band(edges_hz: &[f64], bin_hz: f64, config: &LogMelConfig) -> Band {
    let (low, centre, high) = (edges_hz[0], edges_hz[1], edges_hz[2]);
    let weight = |bin: usize| {
        let frequency = bin as f64 * bin_hz;
        let rise = (frequency - low) / (centre - low);
        let fall = (high - frequency) / (high - centre);
        rise.min(fall)
    };
    let inside: Vec<usize> = (0..=config.fft_size / 2).filter(|&bin| weight(bin) > 0.0).collect();
    Band {
        first_bin: inside.first().copied().unwrap_or(0),
        weights: inside.iter().map(|&bin| weight(bin) as f32).collect(),
    }
}

/// The first `kept` rows of the orthonormal DCT-II of `bands` values, shape [kept, bands]
/// (equation 6 of the module).
pub(super) fn cosine_transform(kept: usize, bands: usize) -> Vec<f32> {
    let m = bands as f64;
    let rows = (0..kept).flat_map(|k| {
        let scale = (if k == 0 { 1.0 } else { 2.0 } / m).sqrt();
        (0..bands).map(move |i| scale * (PI * k as f64 * (i as f64 + 0.5) / m).cos())
    });
    rows.map(|value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mel_of_1000_hz_is_1000_and_back() {
        assert!((mel(1_000.0) - 1_000.0).abs() < 0.1);
        assert!((hz(mel(440.0)) - 440.0).abs() < 1e-9);
    }

    #[test]
    fn neighbouring_triangles_add_to_one_between_the_outer_centres() {
        let config = LogMelConfig::default();
        let edges = edges_hz(&config);
        let bands = bands(&config).unwrap();
        let bin_hz = 8_000.0 / 256.0;
        for bin in 0..=128 {
            let frequency = bin as f64 * bin_hz;
            if frequency < edges[1] || frequency > edges[32] {
                continue;
            }
            let mut power = vec![0.0; 129];
            power[bin] = 1.0;
            let total: f32 = bands.iter().map(|band| band.energy(&power)).sum();
            assert!((total - 1.0).abs() < 1e-5, "bin {bin}: {total}");
        }
    }

    #[test]
    fn a_band_without_a_bin_is_refused() {
        let config = LogMelConfig { bands: 100, ..Default::default() };
        let error = bands(&config).unwrap_err();
        assert_eq!(error.field, "bands");
        assert!(error.to_string().contains("31.25 Hz"), "{error}");
    }

    #[test]
    fn the_cosine_transform_is_orthonormal() {
        let matrix = cosine_transform(8, 8);
        for (a, b) in (0..8).flat_map(|a| (0..8).map(move |b| (a, b))) {
            let dot: f32 = (0..8).map(|i| matrix[a * 8 + i] * matrix[b * 8 + i]).sum();
            let expected = if a == b { 1.0 } else { 0.0 };
            assert!((dot - expected).abs() < 1e-6, "rows {a} and {b}: {dot}");
        }
    }
}
