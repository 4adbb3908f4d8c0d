//! From samples to log-mel frames.

use std::f64::consts::TAU;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::range_error::RangeError;

use super::config::LogMelConfig;
use super::frames::Frames;
use super::mel::{self, Band};
use super::z_score::ZScore;

/// Log-mel features with window, filterbank and Fourier transform prepared.
#[derive(Clone)]
pub struct LogMel {
    config: LogMelConfig,
    window: Vec<f32>,
    bands: Vec<Band>,
    /// Shape [cepstra, bands]; empty where the bands themselves are the features.
    cosines: Vec<f32>,
    fft: Arc<dyn RealToComplex<f32>>,
}

impl LogMel {
    /// Checks `config` and prepares what all recordings share.
    pub fn new(config: &LogMelConfig) -> Result<Self, RangeError> {
        config.validate()?;
        Ok(Self {
            config: config.clone(),
            window: hamming(config.window_samples()),
            bands: mel::bands(config)?,
            cosines: mel::cosine_transform(config.cepstra.unwrap_or(0), config.bands),
            fft: RealFftPlanner::new().plan_fft_forward(config.fft_size),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &LogMelConfig {
        &self.config
    }

    /// Features of `samples` at `config.sample_rate_hz`, one row for every window that lies within
    /// the recording. A recording shorter than a window is padded with zeros to one frame.
    pub fn frames(&self, samples: &[f32]) -> Frames {
        let mut levels = self.spectral(samples);
        if self.config.energy {
            levels = Frames::beside(&[levels, self.energies(samples)]);
        }
        let mut parts = vec![levels];
        for order in 0..usize::from(self.config.deltas) {
            parts.push(parts[order].slopes(self.config.delta_frames));
        }
        let mut frames = Frames::beside(&parts);
        if self.config.normalize {
            ZScore::fit([&frames]).apply(&mut frames);
        }
        frames
    }

    /// Samples of which the first `frames` frames are made: further ones change them only where each recording is normalized as a whole.
    pub(crate) fn samples_of(&self, frames: usize) -> usize {
        if self.config.normalize {
            return usize::MAX;
        }
        let ahead = usize::from(self.config.deltas) * self.config.delta_frames;
        frames
            .saturating_add(ahead)
            .saturating_mul(self.config.hop_samples())
            .saturating_add(self.window.len())
    }

    /// Bands or cepstra of every frame (equations 2 to 6 of the module).
    fn spectral(&self, samples: &[f32]) -> Frames {
        let (count, hop) = (self.count(samples), self.config.hop_samples());
        let features = self.config.cepstra.unwrap_or(self.config.bands);

        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut buffer = self.fft.make_input_vec();
        let mut data = Vec::with_capacity(count * features);
        for frame in 0..count {
            let part = emphasised(samples, frame * hop, self.config.pre_emphasis);
            buffer.fill(0.0);
            for ((slot, sample), weight) in buffer.iter_mut().zip(part).zip(&self.window) {
                *slot = sample * weight;
            }
            self.fft
                .process_with_scratch(&mut buffer, &mut spectrum, &mut scratch)
                .expect("the buffers have the transform's own lengths");
            let power: Vec<f32> = spectrum.iter().map(|bin| bin.norm_sqr()).collect();
            let logs = self.bands.iter().map(|band| band.energy(&power) + self.config.floor);
            self.push_features(&mut data, logs.map(f32::ln).collect());
        }
        Frames { data, features }
    }

    /// Windows that lie within the recording, at least one.
    fn count(&self, samples: &[f32]) -> usize {
        samples.len().saturating_sub(self.window.len()) / self.config.hop_samples() + 1
    }

    /// Energy of every frame (equation 7 of the module).
    fn energies(&self, samples: &[f32]) -> Frames {
        let energy = |frame: usize| {
            let part = samples.iter().skip(frame * self.config.hop_samples()).take(self.window.len());
            (part.map(|sample| sample * sample).sum::<f32>() + self.config.floor).ln()
        };
        Frames { data: (0..self.count(samples)).map(energy).collect(), features: 1 }
    }

    fn push_features(&self, data: &mut Vec<f32>, log_bands: Vec<f32>) {
        if self.cosines.is_empty() {
            data.extend(log_bands);
            return;
        }
        for row in self.cosines.chunks(log_bands.len()) {
            data.push(row.iter().zip(&log_bands).map(|(c, s)| c * s).sum());
        }
    }
}

impl std::fmt::Debug for LogMel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogMel").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Equation 1 of the module, from sample `first` on.
fn emphasised(samples: &[f32], first: usize, pre_emphasis: f32) -> impl Iterator<Item = f32> {
    let mut previous = first.checked_sub(1).map_or(0.0, |before| samples[before]);
    samples[first..]
        .iter()
        .map(move |&sample| sample - pre_emphasis * std::mem::replace(&mut previous, sample))
}

/// Equation 2 of the module.
fn hamming(samples: usize) -> Vec<f32> {
    (0..samples).map(|n| (0.54 - 0.46 * (TAU * n as f64 / (samples - 1) as f64).cos()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(frequency_hz: f32, samples: usize) -> Vec<f32> {
        let step = std::f32::consts::TAU * frequency_hz / 8_000.0;
        (0..samples).map(|i| 0.5 * (step * i as f32).sin()).collect()
    }

    fn bands_alone() -> LogMelConfig {
        LogMelConfig { deltas: 0, ..Default::default() }
    }

    #[test]
    fn normalized_features_have_mean_0_and_deviation_1_in_each_recording() {
        let config = LogMelConfig { normalize: true, floor: 1e-12, ..LogMelConfig::default() };
        let samples: Vec<f32> = (0..4000).map(|i| 0.3 * (i as f32 * i as f32 * 1e-4).sin()).collect();
        let louder: Vec<f32> = samples.iter().map(|sample| 3.0 * sample).collect();
        let features = LogMel::new(&config).unwrap();
        let [quiet, loud] = [samples, louder].map(|samples| features.frames(&samples));
        let fitted = ZScore::fit([&quiet]);
        assert!(fitted.mean.iter().all(|mean| mean.abs() < 1e-4));
        assert!(fitted.std.iter().all(|std| (std - 1.0).abs() < 1e-3));
        let differs = quiet.data.iter().zip(&loud.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(differs < 0.02, "loudness makes no difference, but {differs}");
    }

    #[test]
    fn a_higher_voice_is_heard_as_another_by_warped_bands() {
        let (plain, warp) = (LogMelConfig { high_hz: 3_000.0, ..bands_alone() }, 1.2);
        let centres = &mel::edges_hz(&plain)[1..=plain.bands];
        let warped = LogMel::new(&LogMelConfig { warp, ..plain.clone() }).unwrap();
        for wanted in [5, 12, 20, 30] {
            let row = warped.frames(&tone(warp * centres[wanted] as f32, 300)).row(0).to_vec();
            assert!(row.iter().all(|&level| level <= row[wanted]), "band {wanted}: {row:?}");
        }
    }

    #[test]
    fn a_tone_peaks_in_the_band_around_it() {
        let config = bands_alone();
        let centres = &mel::edges_hz(&config)[1..=config.bands];
        let log_mel = LogMel::new(&config).unwrap();
        for wanted in [5, 12, 20, 30] {
            let frames = log_mel.frames(&tone(centres[wanted] as f32, 1_000));
            assert_eq!(frames.len(), 11);
            for t in 0..frames.len() {
                let row = frames.row(t);
                let peak = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
                assert_eq!(peak, Some(wanted), "frame {t}");
            }
        }
    }

    #[test]
    fn the_energy_of_an_impulse_is_the_sum_of_the_weights() {
        // A unit impulse in the window's centre, without pre-emphasis, has P[k] = w² in every bin.
        let config = LogMelConfig { pre_emphasis: 0.0, ..bands_alone() };
        let log_mel = LogMel::new(&config).unwrap();
        let mut samples = vec![0.0; 200];
        samples[100] = 1.0;
        let frames = log_mel.frames(&samples);
        let power = vec![log_mel.window[100].powi(2); 129];
        for (value, band) in frames.row(0).iter().zip(&log_mel.bands) {
            let expected = (band.energy(&power) + 1e-6).ln();
            assert!((value - expected).abs() < 1e-4, "{value} {expected}");
        }
    }

    #[test]
    fn pre_emphasis_leaves_the_first_sample_and_removes_a_constant() {
        let all: Vec<f32> = emphasised(&[1.0, 1.0, 1.0], 0, 0.97).collect();
        assert_eq!(all[0], 1.0);
        assert!((all[2] - 0.03).abs() < 1e-6);
        assert!(emphasised(&[1.0, 1.0, 1.0], 1, 0.97).eq(all[1..].iter().copied()));
    }

    #[test]
    fn the_first_frames_are_made_of_the_first_samples() {
        let samples = tone(440.0, 8_000);
        for deltas in 0..=2 {
            let log_mel = LogMel::new(&LogMelConfig { deltas, ..LogMelConfig::default() }).unwrap();
            let mut all = log_mel.frames(&samples);
            let mut first = log_mel.frames(&samples[..log_mel.samples_of(7)]);
            [&mut all, &mut first].into_iter().for_each(|frames| frames.truncate(7));
            assert_eq!(first, all, "{deltas} slopes");
        }
        let normalizing = LogMelConfig { normalize: true, ..LogMelConfig::default() };
        assert_eq!(LogMel::new(&normalizing).unwrap().samples_of(7), usize::MAX);
    }

    #[test]
    fn short_and_empty_recordings_give_one_finite_frame() {
        let log_mel = LogMel::new(&LogMelConfig::default()).unwrap();
        for samples in [0, 1, 199, 200, 279] {
            let frames = log_mel.frames(&tone(440.0, samples));
            assert_eq!((frames.len(), frames.features), (1, 64), "{samples} samples");
            assert!(frames.data.iter().all(|value| value.is_finite()));
        }
        assert_eq!(log_mel.frames(&tone(440.0, 280)).len(), 2);
    }

    #[test]
    fn cepstra_and_both_slopes_have_their_dimensions() {
        let config = LogMelConfig { cepstra: Some(13), deltas: 2, ..Default::default() };
        let frames = LogMel::new(&config).unwrap().frames(&tone(440.0, 4_000));
        assert_eq!(frames.features, 39);
        assert_eq!(frames.features, config.feature_count());
    }

    #[test]
    fn the_energy_stands_behind_the_bands_and_before_their_slopes() {
        let config = LogMelConfig { energy: true, deltas: 1, ..bands_alone() };
        let frames = LogMel::new(&config).unwrap().frames(&[0.5; 360]);
        assert_eq!((frames.len(), frames.features), (3, 66));
        assert_eq!(frames.features, config.feature_count());
        for t in 0..3 {
            // 200 samples of energy 1/4, the same in every frame.
            assert!((frames.row(t)[32] - 50.0_f32.ln()).abs() < 1e-5);
            assert_eq!(frames.row(t)[65], 0.0);
        }
        let silence = LogMel::new(&config).unwrap().frames(&[]);
        assert_eq!(silence.row(0)[32], 1e-6_f32.ln());
    }

    #[test]
    fn all_cepstra_keep_the_norm_of_the_bands() {
        let samples = tone(700.0, 200);
        let norm = |config: &LogMelConfig| -> f32 {
            let frames = LogMel::new(config).unwrap().frames(&samples);
            frames.data.iter().map(|value| value * value).sum()
        };
        let cepstra = LogMelConfig { cepstra: Some(32), ..bands_alone() };
        let ratio = norm(&cepstra) / norm(&bands_alone());
        assert!((ratio - 1.0).abs() < 1e-4, "{ratio}");
    }
}
