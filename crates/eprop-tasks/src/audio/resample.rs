//! Another sample rate by a linear-phase filter.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler, WindowFunction};

/// Least length of the anti-aliasing filter at the lower of the two rates, in samples: its
/// transition band is then narrower than 3 % of that rate's Nyquist frequency.
const FILTER_SAMPLES: usize = 512;

/// Samples that come at one rate and are kept at another: the first of ⌈n · to/from⌉ of n, aligned with the input. Beside what is kept,
/// it takes a block of the filter.
pub(super) struct Track {
    kept: Vec<f32>,
    /// Samples that will be kept.
    length: usize,
    /// None between equal rates.
    filter: Option<Filter>,
}

struct Filter {
    resampler: Fft<f32>,
    /// Samples that have come since the last block.
    block: Vec<f32>,
    resampled: Vec<f32>,
    /// Samples by which the output lags and which are still to be dropped.
    delay: usize,
}

impl Track {
    /// For `length` samples, and at most so many to keep.
    pub(super) fn new(from_hz: u32, to_hz: u32, length: u64, most: usize) -> Result<Self, String> {
        let divisor = greatest_common_divisor(from_hz as usize, to_hz as usize);
        let [block_in, block_out] = [from_hz, to_hz].map(|rate| rate as usize / divisor);
        let length = (length * block_out as u64).div_ceil(block_in as u64);
        let length = length.min(most as u64) as usize;
        let filter = (from_hz != to_hz).then(|| Filter::new(from_hz, to_hz, [block_in, block_out]));
        Ok(Self { kept: Vec::with_capacity(length), length, filter: filter.transpose()? })
    }

    pub(super) fn push(&mut self, sample: f32) -> Result<(), String> {
        if self.kept.len() == self.length {
            return Ok(());
        }
        let Some(filter) = &mut self.filter else {
            self.kept.push(sample);
            return Ok(());
        };
        filter.block.push(sample);
        if filter.block.len() == filter.resampler.input_frames_next() { self.resample() } else { Ok(()) }
    }

    /// What is kept of the samples that have come.
    pub(super) fn finish(mut self) -> Result<Vec<f32>, String> {
        // Silence follows, until the filter has given all.
        while self.filter.is_some() && self.kept.len() < self.length {
            self.resample()?;
        }
        Ok(self.kept)
    }

    /// Resamples the block, as if silence filled it.
    fn resample(&mut self) -> Result<(), String> {
        let Some(filter) = &mut self.filter else { return Ok(()) };
        let resampled = filter.resample()?;
        let room = self.length - self.kept.len();
        self.kept.extend(resampled.iter().take(room));
        Ok(())
    }
}

impl Filter {
    fn new(from_hz: u32, to_hz: u32, [block_in, block_out]: [usize; 2]) -> Result<Self, String> {
        // An even number of blocks: the filter's delay is half of it, and must be whole samples.
        let blocks = FILTER_SAMPLES.div_ceil(block_in.min(block_out)).next_multiple_of(2);
        let resampler = Fft::<f32>::new_custom(
            from_hz as usize,
            to_hz as usize,
            blocks * block_in,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        );
        let resampler = resampler.map_err(|e| e.to_string())?;
        Ok(Self {
            block: Vec::with_capacity(resampler.input_frames_max()),
            resampled: vec![0.0; resampler.output_frames_max()],
            delay: resampler.output_delay(),
            resampler,
        })
    }

    /// The next samples of the output.
    fn resample(&mut self) -> Result<&[f32], String> {
        let (samples, room) = (self.block.len(), self.resampled.len());
        let input = InterleavedSlice::new(&self.block, 1, samples).map_err(|e| e.to_string())?;
        let mut output =
            InterleavedSlice::new_mut(&mut self.resampled, 1, room).map_err(|e| e.to_string())?;
        let indexing = Indexing { partial_len: Some(samples), ..Indexing::default() };
        let resampled = self.resampler.process_into_buffer(&input, &mut output, Some(&indexing));
        let (_, count) = resampled.map_err(|e| e.to_string())?;
        self.block.clear();
        let dropped = self.delay.min(count);
        self.delay -= dropped;
        Ok(&self.resampled[dropped..count])
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Result<Vec<f32>, String> {
        let mut track = Track::new(from_hz, to_hz, samples.len() as u64, usize::MAX)?;
        samples.iter().try_for_each(|&sample| track.push(sample))?;
        track.finish()
    }

    fn tone(frequency_hz: f64, rate_hz: u32, samples: usize) -> Vec<f32> {
        let step = std::f64::consts::TAU * frequency_hz / f64::from(rate_hz);
        (0..samples).map(|i| (step * i as f64).sin() as f32).collect()
    }

    /// Largest difference away from the ends, where the filter sees silence.
    fn interior_error(a: &[f32], b: &[f32], margin: usize) -> f32 {
        a.iter()
            .zip(b)
            .skip(margin)
            .take(a.len() - 2 * margin)
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f32::max)
    }

    #[test]
    fn a_tone_keeps_its_frequency_phase_and_length() {
        for (from_hz, to_hz) in [(44_100, 8_000), (16_000, 8_000), (11_025, 8_000), (8_000, 44_100)] {
            let (from, to) = (from_hz as usize, to_hz as usize);
            let resampled = resample(&tone(440.0, from_hz, from), from_hz, to_hz).unwrap();
            assert_eq!(resampled.len(), to, "{from_hz} to {to_hz}");
            let error = interior_error(&resampled, &tone(440.0, to_hz, to), to / 10);
            assert!(error < 1e-4, "{from_hz} to {to_hz}: {error}");
        }
    }

    #[test]
    fn frequencies_above_the_new_nyquist_vanish() {
        let resampled = resample(&tone(6_000.0, 44_100, 44_100), 44_100, 8_000).unwrap();
        let silence = vec![0.0; resampled.len()];
        assert!(interior_error(&resampled, &silence, 800) < 1e-4);
    }

    #[test]
    fn a_click_stays_where_it_was() {
        for (from_hz, to_hz) in [(16_000, 8_000), (47_999, 8_000), (44_100, 8_001)] {
            let mut click = vec![0.0; from_hz as usize / 2];
            click[from_hz as usize / 4] = 1.0;
            let resampled = resample(&click, from_hz, to_hz).unwrap();
            let peak = (0..resampled.len()).max_by(|&a, &b| resampled[a].total_cmp(&resampled[b])).unwrap();
            assert!(peak.abs_diff(to_hz as usize / 4) <= 1, "{from_hz}: {peak}");
        }
    }

    #[test]
    fn a_short_recording_is_resampled_whole() {
        assert_eq!(resample(&[0.5], 44_100, 8_000).unwrap().len(), 1);
        assert_eq!(resample(&[0.5; 3], 8_000, 16_000).unwrap().len(), 6);
        assert!(resample(&[], 8_000, 16_000).unwrap().is_empty());
    }

    #[test]
    fn equal_rates_keep_the_samples() {
        assert_eq!(resample(&[0.5, -0.25], 8_000, 8_000).unwrap(), [0.5, -0.25]);
    }
}
