//! Another sample rate by a linear-phase filter.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

/// Least length of the anti-aliasing filter at the lower of the two rates, in samples: its
/// transition band is then narrower than 3 % of that rate's Nyquist frequency.
const FILTER_SAMPLES: usize = 512;

/// `samples` at `to_hz`: ⌈n · to/from⌉ samples, aligned with the input.
pub(super) fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Result<Vec<f32>, String> {
    let (from, to) = (from_hz as usize, to_hz as usize);
    let divisor = greatest_common_divisor(from, to);
    let (block_in, block_out) = (from / divisor, to / divisor);
    // An even number of blocks: the filter's delay is half of it, and must be whole samples.
    let blocks = FILTER_SAMPLES.div_ceil(block_in.min(block_out)).next_multiple_of(2);
    let mut resampler = Fft::<f32>::new_custom(
        from,
        to,
        blocks * block_in,
        1,
        1,
        WindowFunction::BlackmanHarris2,
        FixedSync::Both,
    )
    .map_err(|e| e.to_string())?;

    let mono = InterleavedSlice::new(samples, 1, samples.len()).map_err(|e| e.to_string())?;
    let mut resampled =
        resampler.process_all(&mono, samples.len(), None).map_err(|e| e.to_string())?.take_data();
    // The resampler rounds the length up in floating point, which can give one sample too many.
    resampled.truncate((samples.len() * block_out).div_ceil(block_in));
    Ok(resampled)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
