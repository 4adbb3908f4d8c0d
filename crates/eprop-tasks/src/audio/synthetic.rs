//! Recordings for tests, written from the formats' definitions.

use std::path::Path;

/// A NIST SPHERE file of the lines of `fields`, then `data`, with a header of 1024 bytes.
pub(crate) fn sphere(fields: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("NIST_1A\n   1024\n{fields}end_head\n").into_bytes();
    assert!(bytes.len() <= 1024, "the fields fill more than the header");
    bytes.resize(1024, b' ');
    bytes.extend(data);
    bytes
}

/// One channel at 16 kHz as the TIMIT corpus has it: little endian, without `sample_coding`.
pub(crate) fn timit_sphere(levels: &[i16]) -> Vec<u8> {
    let fields = format!(
        "database_id -s5 TIMIT\ndatabase_version -s3 1.0\nutterance_id -s8 cjf0_sa1\n\
         channel_count -i 1\nsample_count -i {}\nsample_rate -i 16000\nsample_min -i -2191\n\
         sample_max -i 2790\nsample_n_bytes -i 2\nsample_byte_format -s2 01\nsample_sig_bits -i 16\n",
        levels.len()
    );
    let data: Vec<u8> = levels.iter().flat_map(|level| level.to_le_bytes()).collect();
    sphere(&fields, &data)
}

/// Writes 16-bit PCM of one channel as a WAV file.
pub(crate) fn write_wav(path: &Path, sample_rate: u32, levels: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for &level in levels {
        writer.write_sample(level).unwrap();
    }
    writer.finalize().unwrap();
}

/// A tone of half the full scale.
pub(crate) fn tone(frequency_hz: f32, rate_hz: u32, samples: usize) -> Vec<i16> {
    let step = std::f32::consts::TAU * frequency_hz / rate_hz as f32;
    (0..samples).map(|i| (16_384.0 * (step * i as f32).sin()) as i16).collect()
}
