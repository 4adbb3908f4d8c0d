//! From the samples of a file to mono samples at one rate, block by block.

use super::pcm::Encoding;
use super::resample::Track;
use super::source::Source;
use super::{AudioError, MAX_SAMPLES, check_rate};

/// Largest magnitude of a float sample, 6 dB over full scale. A file that goes beyond it was not
/// written with full scale at 1, and clipping would turn it into noise.
const MAX_PEAK: f32 = 2.0;

/// Bytes that are read at a time, or one sample of each channel where that is more.
const BLOCK_BYTES: usize = 1 << 16;

/// A file whose samples come next.
pub(super) struct Recording<'a> {
    pub(super) source: Source<'a>,
    /// Rate in Hz, of any value.
    pub(super) rate_hz: u32,
    /// At least 1.
    pub(super) channels: usize,
    pub(super) encoding: Encoding,
    /// Samples of each channel, as promised.
    pub(super) instants: u64,
}

impl Recording<'_> {
    /// The first `most` samples of the mean over the channels at `sample_rate_hz`, within [-1, 1].
    pub(super) fn mono(mut self, sample_rate_hz: u32, most: usize) -> Result<Vec<f32>, AudioError> {
        let (path, recorded_hz) = (self.source.path, self.rate_hz);
        check_rate(path, "recorded", recorded_hz)?;
        self.check_present()?;
        self.check_length(sample_rate_hz, most)?;
        let failed = |reason| {
            let (path, from_hz, to_hz) = (path.into(), recorded_hz, sample_rate_hz);
            AudioError::Resample { path, from_hz, to_hz, reason }
        };
        let mut track = Track::new(recorded_hz, sample_rate_hz, self.instants, most).map_err(failed)?;

        let instant_bytes = self.channels * self.encoding.bytes();
        let block_instants = (BLOCK_BYTES / instant_bytes).max(1);
        let mut block = vec![0; block_instants * instant_bytes];
        let mut instant = 0;
        while instant < self.instants {
            let count = (self.instants - instant).min(block_instants as u64);
            let bytes = &mut block[..count as usize * instant_bytes];
            self.source.read_exactly(bytes)?;
            for samples in bytes.chunks_exact(instant_bytes) {
                track.push(self.mean(samples, instant)?).map_err(failed)?;
                instant += 1;
            }
        }
        let mut mono = track.finish().map_err(failed)?;
        mono.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        Ok(mono)
    }

    /// Refuses a file that is shorter than it claims, before memory is taken for what it claims.
    fn check_present(&mut self) -> Result<(), AudioError> {
        let promised = self.instants.saturating_mul(self.channels as u64);
        let found = self.source.left()? / self.encoding.bytes() as u64;
        if found < promised {
            let found = found as usize;
            return Err(AudioError::Truncated { path: self.source.path.into(), promised, found });
        }
        Ok(())
    }

    fn check_length(&self, sample_rate_hz: u32, most: usize) -> Result<(), AudioError> {
        let samples = u128::from(self.instants) * u128::from(sample_rate_hz) / u128::from(self.rate_hz);
        if samples.min(most as u128) > MAX_SAMPLES as u128 {
            let samples = u64::try_from(samples).unwrap_or(u64::MAX);
            return Err(AudioError::TooLong {
                path: self.source.path.into(),
                samples,
                rate_hz: sample_rate_hz,
            });
        }
        Ok(())
    }

    /// The mean over the channels, whose samples are those of an instant.
    fn mean(&self, samples: &[u8], instant: u64) -> Result<f32, AudioError> {
        let mut sum = 0.0;
        for (channel, bytes) in samples.chunks_exact(self.encoding.bytes()).enumerate() {
            let value = self.encoding.sample(bytes);
            if value.is_nan() || value.abs() > MAX_PEAK {
                let index = instant as usize * self.channels + channel;
                return Err(AudioError::InvalidSample { path: self.source.path.into(), index, value });
            }
            sum += value;
        }
        Ok(sum / self.channels as f32)
    }
}
