//! WAV and NIST SPHERE files as mono samples at one sample rate.
//!
//! [`read_audio`] tells the two formats apart by their first bytes. [`read_wav`] takes integer PCM of 8, 16, 24 or 32 bits and float PCM
//! of 32 bits, with any number of channels at any rate from 1 to 384 kHz, and refuses everything else by name.
//! [`read_sphere`] takes interleaved PCM of 16 bits in either byte order.
//!
//! Files are read block by block: beside the samples at the requested rate, of which there may be [`MAX_SAMPLES`], memory is taken for
//! a block and a filter alone.

mod error;
mod pcm;
mod recording;
mod resample;
mod source;
mod sphere;
#[cfg(test)]
pub(crate) mod synthetic;
mod wav;

use std::ops::RangeInclusive;
use std::path::Path;

pub use error::AudioError;
use source::Source;

/// Sample rates in Hz that are read and that may be asked for. The filter between two that share no divisor takes memory in proportion to
/// the larger one, some 60 MB at most.
pub const SAMPLE_RATES_HZ: RangeInclusive<u32> = 1_000..=384_000;

/// Largest number of samples of a recording at the requested rate: 4.6 hours at 16 kHz, 1 GiB.
pub const MAX_SAMPLES: usize = 1 << 28;

/// Reads a WAV file as mono samples in [-1, 1] at `sample_rate_hz`.
///
/// Channels are averaged; integers of b bits are divided by 2^(b−1); another rate is resampled by a
/// linear-phase filter whose delay is taken out, to ⌈n · requested/recorded⌉ samples. What exceeds
/// full scale (peaks of float samples, overshoot of the filter) is clipped.
///
/// Where the header leaves the number of samples open, as programs do that write to a pipe, the samples go on to the end of the file.
///
/// # Errors
///
/// If the file is missing, no regular file, damaged, in another encoding or too long, or a rate lies outside [`SAMPLE_RATES_HZ`].
pub fn read_wav(path: impl AsRef<Path>, sample_rate_hz: u32) -> Result<Vec<f32>, AudioError> {
    read_wav_up_to(path.as_ref(), sample_rate_hz, usize::MAX)
}

/// Reads a WAV file as [`read_wav`] does, but keeps the first `most` samples alone.
pub(crate) fn read_wav_up_to(path: &Path, sample_rate_hz: u32, most: usize) -> Result<Vec<f32>, AudioError> {
    check_rate(path, "requested", sample_rate_hz)?;
    wav::recording(Source::open(path)?)?.mono(sample_rate_hz, most)
}

/// Reads a NIST SPHERE file of 16-bit PCM as mono samples in [-1, 1] at `sample_rate_hz`.
///
/// Channels are averaged and other rates resampled as [`read_wav`] does. Compressed
/// files (`sample_coding` such as `pcm,embedded-shorten-v2.00`) are refused by name.
///
/// # Errors
///
/// As [`read_wav`].
pub fn read_sphere(path: impl AsRef<Path>, sample_rate_hz: u32) -> Result<Vec<f32>, AudioError> {
    let path = path.as_ref();
    check_rate(path, "requested", sample_rate_hz)?;
    sphere::recording(Source::open(path)?)?.mono(sample_rate_hz, usize::MAX)
}

/// Reads a RIFF/WAVE file as [`read_wav`] does or a NIST SPHERE file as [`read_sphere`] does.
///
/// # Errors
///
/// As [`read_wav`]; also if it is neither.
pub fn read_audio(path: impl AsRef<Path>, sample_rate_hz: u32) -> Result<Vec<f32>, AudioError> {
    let path = path.as_ref();
    check_rate(path, "requested", sample_rate_hz)?;
    let mut source = Source::open(path)?;
    let recording = if source.continues_with(b"RIFF")? {
        wav::recording(source)?
    } else if source.continues_with(b"NIST")? {
        sphere::recording(source)?
    } else {
        return Err(AudioError::UnknownFormat { path: path.into() });
    };
    recording.mono(sample_rate_hz, usize::MAX)
}

fn check_rate(path: &Path, which: &'static str, rate_hz: u32) -> Result<(), AudioError> {
    if SAMPLE_RATES_HZ.contains(&rate_hz) {
        return Ok(());
    }
    Err(AudioError::SampleRate { path: path.into(), which, rate_hz })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hound::{SampleFormat, WavSpec, WavWriter};
    use std::fs;
    use std::path::PathBuf;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("a.wav")
        }

        fn write<S: hound::Sample>(&self, spec: WavSpec, samples: impl IntoIterator<Item = S>) {
            let mut writer = WavWriter::create(self.path(), spec).unwrap();
            for sample in samples {
                writer.write_sample(sample).unwrap();
            }
            writer.finalize().unwrap();
        }

        fn edit(&self, edit: impl FnOnce(&mut Vec<u8>)) {
            let mut bytes = fs::read(self.path()).unwrap();
            edit(&mut bytes);
            fs::write(self.path(), bytes).unwrap();
        }

        fn error(&self) -> AudioError {
            let error = read_wav(self.path(), 8_000).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("a.wav: "), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
            error
        }
    }

    fn spec(bits_per_sample: u16, sample_format: SampleFormat, channels: u16) -> WavSpec {
        WavSpec { channels, sample_rate: 8_000, bits_per_sample, sample_format }
    }

    #[test]
    fn integers_of_every_width_span_full_scale() {
        let folder = Folder::new();
        for bits in [8, 16, 24, 32] {
            let full = 1_i64 << (bits - 1);
            let levels = [0, full / 2, -full].map(|level| level as i32);
            folder.write(spec(bits, SampleFormat::Int, 1), levels);
            let samples = read_wav(folder.path(), 8_000).unwrap();
            assert_eq!(samples, [0.0, 0.5, -1.0], "{bits} bits");
        }
    }

    #[test]
    fn floats_keep_their_value_and_peaks_are_clipped() {
        let folder = Folder::new();
        folder.write(spec(32, SampleFormat::Float, 1), [0.25_f32, -0.125, 1.5]);
        assert_eq!(read_wav(folder.path(), 8_000).unwrap(), [0.25, -0.125, 1.0]);
    }

    #[test]
    fn channels_are_averaged() {
        let folder = Folder::new();
        folder.write(spec(16, SampleFormat::Int, 2), [16_384_i16, 0, -16_384, 16_384]);
        assert_eq!(read_wav(folder.path(), 8_000).unwrap(), [0.25, 0.0]);
    }

    #[test]
    fn another_rate_is_resampled() {
        let folder = Folder::new();
        let cd = WavSpec { sample_rate: 44_100, ..spec(16, SampleFormat::Int, 1) };
        let tone = |i: i32| 0.5 * (std::f32::consts::TAU * 440.0 * i as f32 / 44_100.0).sin();
        folder.write(cd, (0..44_100).map(|i| (tone(i) * 32_768.0) as i16));
        let samples = read_wav(folder.path(), 8_000).unwrap();
        assert_eq!(samples.len(), 8_000);
        let rises = samples.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
        assert!(rises.abs_diff(440) <= 1, "{rises} periods in one second");
    }

    #[test]
    fn the_first_samples_are_those_of_the_whole() {
        let folder = Folder::new();
        folder.write(spec(16, SampleFormat::Int, 1), (0..20_000).map(|i| (i * 37 % 1000) as i16));
        for rate_hz in [8_000, 11_025] {
            let whole = read_wav(folder.path(), rate_hz).unwrap();
            for most in [0, 1, 10_000, 20_000, usize::MAX] {
                let first = read_wav_up_to(&folder.path(), rate_hz, most).unwrap();
                assert_eq!(first, whole[..most.min(whole.len())]);
            }
        }
    }

    #[test]
    fn missing_file_folder_and_foreign_content_are_refused() {
        let folder = Folder::new();
        assert!(matches!(folder.error(), AudioError::Unreadable { .. }));
        let as_file = read_wav(folder.0.path(), 8_000).unwrap_err();
        assert!(matches!(as_file, AudioError::Unreadable { .. }), "{as_file}");
        for content in [&b""[..], b"RIFF", b"ID3 is not a WAV file, however long it may be"] {
            fs::write(folder.path(), content).unwrap();
            assert!(matches!(folder.error(), AudioError::NotWav { .. }));
        }
    }

    #[test]
    fn truncated_and_empty_files_are_refused() {
        let folder = Folder::new();
        folder.write(spec(16, SampleFormat::Int, 1), 0..100_i16);
        folder.edit(|bytes| bytes.truncate(bytes.len() - 20));
        let error = folder.error();
        let AudioError::Truncated { promised, found, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((promised, found), (100, 90));

        folder.write(spec(16, SampleFormat::Int, 1), [0_i16; 0]);
        assert!(matches!(folder.error(), AudioError::Empty { .. }));
    }

    #[test]
    fn a_header_that_lies_about_the_length_costs_no_memory() {
        let folder = Folder::new();
        folder.write(spec(16, SampleFormat::Int, 1), [1_i16; 8]);
        folder.edit(|bytes| {
            let length = bytes.windows(4).position(|w| w == b"data").unwrap() + 4;
            bytes[length..length + 4].copy_from_slice(&0xFFFF_FFFE_u32.to_le_bytes());
        });
        assert!(matches!(folder.error(), AudioError::Truncated { found: 8, .. }));
    }

    #[test]
    fn float_samples_that_are_no_levels_are_refused() {
        let folder = Folder::new();
        for bad in [f32::NAN, f32::INFINITY, -32_768.0] {
            folder.write(spec(32, SampleFormat::Float, 1), [0.0, 0.5, bad]);
            assert!(matches!(folder.error(), AudioError::InvalidSample { index: 2, .. }));
        }
    }

    #[test]
    fn unusable_rates_are_refused() {
        let folder = Folder::new();
        folder.write(spec(8, SampleFormat::Int, 1), [0_i8; 4]);
        for rate_hz in [0, 999, 2_000_000_u32] {
            folder.edit(|bytes| {
                // Samples and bytes a second: the same for one channel of 8 bits.
                bytes[24..28].copy_from_slice(&rate_hz.to_le_bytes());
                bytes[28..32].copy_from_slice(&rate_hz.to_le_bytes());
            });
            let error = folder.error();
            assert!(error.to_string().contains("recorded sample rate"), "{error}");
        }
        let error = read_wav(folder.path(), 0).unwrap_err();
        assert!(error.to_string().contains("requested sample rate"), "{error}");
    }

    #[test]
    fn other_encodings_are_refused_by_name() {
        let folder = Folder::new();
        folder.write(spec(16, SampleFormat::Int, 1), [1_i16; 8]);
        folder.edit(|bytes| bytes[20] = 7);
        assert!(folder.error().to_string().contains("µ-law is not supported"));

        folder.write(spec(24, SampleFormat::Int, 1), [1_i32; 8]);
        folder.edit(|bytes| bytes[38] = 20);
        let message = folder.error().to_string();
        assert!(message.contains("20-bit integer PCM is not supported"), "{message}");
    }

    #[test]
    fn no_damaged_header_byte_panics() {
        let folder = Folder::new();
        folder.write(spec(16, SampleFormat::Int, 2), [1_i16; 8]);
        let intact = fs::read(folder.path()).unwrap();
        for position in 0..intact.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut damaged = intact.clone();
                damaged[position] = value;
                fs::write(folder.path(), &damaged).unwrap();
                let _ = read_wav(folder.path(), 8_000);
            }
        }
    }
}
