//! WAV and NIST SPHERE files as mono samples at one sample rate.
//!
//! [`read_audio`] tells the two formats apart by their first bytes. [`read_wav`] takes integer PCM of 8, 16, 24 or 32 bits and float PCM of 32 bits, with any number
//! of channels at any rate from 1 to 384 kHz, and refuses everything else by name.
//! [`read_sphere`] takes interleaved PCM of 16 bits in either byte order.

mod error;
mod resample;
mod sphere;
#[cfg(test)]
pub(crate) mod synthetic;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::RangeInclusive;
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec};

pub use error::AudioError;
pub use sphere::read_sphere;

/// Sample rates in Hz that are read and that may be asked for. The filter between two that share no divisor takes memory in proportion to
/// the larger one, some 60 MB at most.
pub const SAMPLE_RATES_HZ: RangeInclusive<u32> = 1_000..=384_000;

/// Largest magnitude of a float sample, 6 dB over full scale. A file that goes beyond it was not
/// written with full scale at 1, and clipping would turn it into noise.
const MAX_PEAK: f32 = 2.0;

/// Reads a WAV file as mono samples in [-1, 1] at `sample_rate_hz`.
///
/// Channels are averaged; integers of b bits are divided by 2^(b−1); another rate is resampled by a
/// linear-phase filter whose delay is taken out, to ⌈n · requested/recorded⌉ samples. What exceeds
/// full scale (peaks of float samples, overshoot of the filter) is clipped.
pub fn read_wav(path: impl AsRef<Path>, sample_rate_hz: u32) -> Result<Vec<f32>, AudioError> {
    let path = path.as_ref();
    check_rate(path, "requested", sample_rate_hz)?;
    let file = File::open(path).map_err(|reason| AudioError::Unreadable { path: path.into(), reason })?;
    let reader = WavReader::new(BufReader::new(file)).map_err(|e| header_error(path, e))?;
    let recorded_hz = reader.spec().sample_rate;
    check_rate(path, "recorded", recorded_hz)?;

    let samples = decode_mono(path, reader)?;
    at_rate(path, samples, recorded_hz, sample_rate_hz)
}

/// Reads a RIFF/WAVE file as [`read_wav`] does or a NIST SPHERE file as [`read_sphere`] does.
pub fn read_audio(path: impl AsRef<Path>, sample_rate_hz: u32) -> Result<Vec<f32>, AudioError> {
    let path = path.as_ref();
    let mut magic = Vec::new();
    File::open(path)
        .and_then(|file| file.take(4).read_to_end(&mut magic))
        .map_err(|reason| AudioError::Unreadable { path: path.into(), reason })?;
    match magic.as_slice() {
        b"RIFF" => read_wav(path, sample_rate_hz),
        b"NIST" => read_sphere(path, sample_rate_hz),
        _ => Err(AudioError::UnknownFormat { path: path.into() }),
    }
}

/// `samples` at `sample_rate_hz`, within [-1, 1].
fn at_rate(
    path: &Path,
    mut samples: Vec<f32>,
    recorded_hz: u32,
    sample_rate_hz: u32,
) -> Result<Vec<f32>, AudioError> {
    if recorded_hz != sample_rate_hz {
        samples = resample::resample(&samples, recorded_hz, sample_rate_hz).map_err(|reason| {
            AudioError::Resample { path: path.into(), from_hz: recorded_hz, to_hz: sample_rate_hz, reason }
        })?;
    }
    for sample in &mut samples {
        *sample = sample.clamp(-1.0, 1.0);
    }
    Ok(samples)
}

fn check_rate(path: &Path, which: &'static str, rate_hz: u32) -> Result<(), AudioError> {
    if SAMPLE_RATES_HZ.contains(&rate_hz) {
        return Ok(());
    }
    Err(AudioError::SampleRate { path: path.into(), which, rate_hz })
}

/// The mean over the channels. Memory grows with what is read, whatever the header promises.
fn decode_mono<R: Read>(path: &Path, mut reader: WavReader<R>) -> Result<Vec<f32>, AudioError> {
    let spec = reader.spec();
    let promised = reader.len();
    if promised == 0 {
        return Err(AudioError::Empty { path: path.into() });
    }
    let encoding = encoding_of(spec);
    let samples: Box<dyn Iterator<Item = hound::Result<f32>> + '_> =
        match (spec.sample_format, spec.bits_per_sample) {
            (SampleFormat::Int, bits @ (8 | 16 | 24 | 32)) => {
                let scale = 0.5_f32.powi(i32::from(bits) - 1);
                let levels = reader.samples::<i32>();
                Box::new(levels.map(move |level| level.map(|level| level as f32 * scale)))
            }
            (SampleFormat::Float, 32) => Box::new(reader.samples::<f32>()),
            _ => return Err(unsupported(path, encoding)),
        };
    let channels = usize::from(spec.channels);
    let (mut mono, mut sum) = (Vec::new(), 0.0);
    for (index, sample) in samples.enumerate() {
        let value = sample.map_err(|e| sample_error(path, e, promised, index, &encoding))?;
        if value.is_nan() || value.abs() > MAX_PEAK {
            let path = path.into();
            return Err(AudioError::InvalidSample { path, index, value });
        }
        sum += value;
        if (index + 1).is_multiple_of(channels) {
            mono.push(sum / channels as f32);
            sum = 0.0;
        }
    }
    Ok(mono)
}

fn encoding_of(spec: WavSpec) -> String {
    let kind = match spec.sample_format {
        SampleFormat::Int => "integer PCM",
        SampleFormat::Float => "float PCM",
    };
    format!("{}-bit {kind}", spec.bits_per_sample)
}

/// The end of the file is reported by the WAV reader itself, other failures by the system.
fn is_end_of_file(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

fn header_error(path: &Path, error: hound::Error) -> AudioError {
    let not_wav = |reason: &str| AudioError::NotWav { path: path.into(), reason: reason.into() };
    match error {
        hound::Error::IoError(reason) if is_end_of_file(&reason) => not_wav("it ends before any samples"),
        hound::Error::IoError(reason) => AudioError::Unreadable { path: path.into(), reason },
        hound::Error::FormatError(reason) => not_wav(reason),
        _ => unsupported(path, encoding_name(path)),
    }
}

fn sample_error(path: &Path, error: hound::Error, promised: u32, found: usize, encoding: &str) -> AudioError {
    match error {
        hound::Error::IoError(reason) if is_end_of_file(&reason) => {
            AudioError::Truncated { path: path.into(), promised: promised.into(), found }
        }
        hound::Error::IoError(reason) => AudioError::Unreadable { path: path.into(), reason },
        _ => unsupported(path, format!("{encoding} with padded samples")),
    }
}

fn unsupported(path: &Path, encoding: String) -> AudioError {
    AudioError::Unsupported { path: path.into(), encoding }
}

/// Name of the encoding that the WAV reader refused, by the format tag behind `fmt ` (RFC 2361).
fn encoding_name(path: &Path) -> String {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
    let tag = head
        .windows(10)
        .find(|bytes| bytes.starts_with(b"fmt "))
        .map(|bytes| u16::from_le_bytes([bytes[8], bytes[9]]));
    match (read, tag) {
        (Ok(_), Some(0x0002 | 0x0011)) => "ADPCM".into(),
        (Ok(_), Some(0x0006)) => "A-law".into(),
        (Ok(_), Some(0x0007)) => "µ-law".into(),
        (Ok(_), Some(0x0050 | 0x0055)) => "MPEG audio".into(),
        (Ok(_), Some(tag)) => format!("encoding 0x{tag:04X}"),
        _ => "its encoding".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hound::WavWriter;
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
