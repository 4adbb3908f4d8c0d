//! Tests of the SPHERE reader on files built byte by byte.

use std::fs;
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::audio::synthetic::{sphere, timit_sphere, tone, write_wav};
use crate::audio::{read_audio, read_sphere, read_wav};

const STEREO: &str = "channel_count -i 2\nsample_count -i 2\nsample_rate -i 16000\n\
    sample_n_bytes -i 2\nsample_byte_format -s2 10\nsample_coding -s3 pcm\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("SX1.WAV")
    }

    fn read(&self, bytes: &[u8]) -> Result<Vec<f32>, AudioError> {
        fs::write(self.path(), bytes).unwrap();
        read_sphere(self.path(), 16_000)
    }

    /// The message, which is one line and names the file.
    fn refuse(&self, bytes: &[u8]) -> String {
        let message = self.read(bytes).unwrap_err().to_string();
        assert!(message.starts_with(&*self.path().to_string_lossy()), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }
}

#[test]
fn a_timit_header_gives_its_samples() {
    let samples = Folder::new().read(&timit_sphere(&[0, 16_384, -32_768, 1])).unwrap();
    assert_eq!(samples, [0.0, 0.5, -1.0, 1.0 / 32_768.0]);
}

#[test]
fn big_endian_channels_are_averaged() {
    let data = [0x40, 0x00, 0x00, 0x00, 0xC0, 0x00, 0x80, 0x00];
    assert_eq!(Folder::new().read(&sphere(STEREO, &data)).unwrap(), [0.25, -0.75]);
}

#[test]
fn the_byte_order_is_that_of_the_header() {
    let fields = STEREO.replace("channel_count -i 2", "channel_count -i 1");
    let little = fields.replace("-s2 10", "-s2 01");
    let (folder, data) = (Folder::new(), [0x00, 0x40, 0x40, 0x00]);
    assert_eq!(folder.read(&sphere(&fields, &data)).unwrap(), [64.0 / 32_768.0, 0.5]);
    assert_eq!(folder.read(&sphere(&little, &data)).unwrap(), [0.5, 64.0 / 32_768.0]);
}

#[test]
fn the_samples_start_where_the_header_ends() {
    let mut bytes = timit_sphere(&[1_024, -1_024]);
    bytes[8..16].copy_from_slice(b"   2048\n");
    bytes.splice(1024..1024, [b' '; 1024]);
    assert_eq!(Folder::new().read(&bytes).unwrap(), [1.0 / 32.0, -1.0 / 32.0]);
}

#[test]
fn comments_blank_lines_and_what_follows_the_samples_are_ignored() {
    let fields = STEREO.replace("-i 16000", "-i  +16000 ;in Hz").replace("pcm\n", "pcm ;plain\n\n;-i\n");
    let bytes = sphere(&fields, &[[0x40, 0x00]; 7].concat());
    assert_eq!(Folder::new().read(&bytes).unwrap(), [0.5, 0.5]);
}

#[test]
fn other_rates_are_resampled_as_a_wav_file_is() {
    let folder = Folder::new();
    let levels = tone(440.0, 16_000, 16_000);
    let wav = folder.0.path().join("a.wav");
    write_wav(&wav, 16_000, &levels);
    fs::write(folder.path(), timit_sphere(&levels)).unwrap();
    let expected = read_wav(&wav, 8_000).unwrap();
    assert_eq!(expected.len(), 8_000);
    assert_eq!(read_sphere(folder.path(), 8_000).unwrap(), expected);
    assert_eq!(read_audio(folder.path(), 8_000).unwrap(), expected);
    assert_eq!(read_audio(&wav, 8_000).unwrap(), expected);
}

#[test]
fn every_missing_field_is_named() {
    let folder = Folder::new();
    for name in ["channel_count", "sample_count", "sample_rate", "sample_n_bytes", "sample_byte_format"] {
        let fields: String = STEREO.split_inclusive('\n').filter(|line| !line.starts_with(name)).collect();
        let message = folder.refuse(&sphere(&fields, &[0; 8]));
        assert!(message.ends_with(&format!("has no field `{name}`")), "{message}");
    }
}

#[test]
fn other_encodings_are_refused_with_advice() {
    let folder = Folder::new();
    let edits = [
        ("sample_coding -s3 pcm", "sample_coding -s26 pcm,embedded-shorten-v2.00"),
        ("sample_coding -s3 pcm", "sample_coding -s4 ulaw"),
        ("sample_n_bytes -i 2", "sample_n_bytes -i 1"),
        ("sample_byte_format -s2 10", "sample_byte_format -s9 shortpack"),
        ("sample_coding -s3 pcm", "channels_interleaved -s5 FALSE"),
    ];
    for (from, to) in edits {
        let message = folder.refuse(&sphere(&STEREO.replace(from, to), &[0; 8]));
        let (field, value) = (to.split(' ').next().unwrap(), to.rsplit(' ').next().unwrap());
        assert!(message.contains(&format!("`{field}` is `{value}`, which is not supported")), "{message}");
        assert!(message.ends_with("`sph2pipe -p -f wav`"), "{message}");
    }
}

#[test]
fn values_out_of_range_are_named() {
    let folder = Folder::new();
    for (from, to, part) in [
        ("sample_count -i 2", "sample_count -i -5", "`sample_count` is `-5`"),
        ("sample_count -i 2", "sample_count -i 0", "holds no samples"),
        ("channel_count -i 2", "channel_count -i 0", "`channel_count` is `0`, but must be 1 to 256"),
        ("sample_rate -i 16000", "sample_rate -i 999", "the recorded sample rate is 999 Hz"),
        ("sample_rate -i 16000", "sample_rate -r 1.5", "`sample_rate` is `1.5`"),
        ("sample_coding -s3 pcm", "sample_coding -s9 pcm", "line 8 of its header is `sample_coding -s9 pcm`"),
        ("sample_coding -s3 pcm", "sample\u{7}coding", "line 8 of its header is `sample\\u{7}coding`"),
    ] {
        let message = folder.refuse(&sphere(&STEREO.replace(from, to), &[0; 8]));
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_header_that_lies_about_the_length_costs_no_memory() {
    let folder = Folder::new();
    for count in ["5368709120", "18446744073709551615"] {
        let fields = STEREO.replace("sample_count -i 2", &format!("sample_count -i {count}"));
        let message = folder.refuse(&sphere(&fields, &[0; 7]));
        assert!(message.ends_with("the file holds 3"), "{message}");
    }
    let message = folder.refuse(&sphere(STEREO, &[0; 7]));
    assert!(message.ends_with("truncated: the header promises 4 samples, the file holds 3"), "{message}");
}

#[test]
fn headers_of_unusable_size_are_refused() {
    let folder = Folder::new();
    for (size, part) in [
        ("      0\n", "header's size is 0 bytes"),
        ("   1025\n", "header's size is 1025 bytes"),
        ("9999360\n", "header's size is 9999360 bytes, but must be a multiple of 1024 up to 65536"),
        ("   2048\n", "it ends after 1032 of the header's 2048 bytes"),
        ("   -024\n", "does not start with"),
    ] {
        let mut bytes = sphere(STEREO, &[0; 8]);
        bytes[8..16].copy_from_slice(size.as_bytes());
        let message = folder.refuse(&bytes);
        assert!(message.contains(part), "{message}");
    }
    let bytes = sphere(STEREO, &[0; 8]);
    assert!(folder.refuse(&bytes[..100]).contains("it ends after 100 of the header's 1024 bytes"));
    assert!(folder.refuse(&bytes[..3]).contains("it ends after 3 of the header's 16 bytes"));
    let endless = String::from_utf8(bytes).unwrap().replace("end_head", "end_tail");
    assert!(folder.refuse(endless.as_bytes()).contains("of its header is `end_tail`"));
    let mut blank = b"NIST_1A\n   1024\n".to_vec();
    blank.resize(1024, b' ');
    assert!(folder.refuse(&blank).contains("its header has no line `end_head`"));
}

#[test]
fn foreign_content_is_refused() {
    let folder = Folder::new();
    for content in [&b""[..], b"ID3", b"RIF"] {
        fs::write(folder.path(), content).unwrap();
        let message = read_audio(folder.path(), 16_000).unwrap_err().to_string();
        assert!(message.ends_with("SX1.WAV: neither a RIFF/WAVE nor a NIST SPHERE file"), "{message}");
    }
    let missing = read_audio(folder.0.path().join("none"), 16_000).unwrap_err();
    assert!(matches!(missing, AudioError::Unreadable { .. }), "{missing}");
}

#[test]
fn no_damaged_header_panics_or_breaks_its_message() {
    let folder = Folder::new();
    let intact = sphere(STEREO, &[0; 8]);
    let used = intact.windows(9).position(|part| part == b"end_head\n").unwrap() + 9;
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..4_000 {
        let mut damaged = intact.clone();
        for _ in 0..rng.random_range(1..6) {
            let position = rng.random_range(0..used);
            match rng.random_range(0..4) {
                0 => damaged[position] = rng.random(),
                1 => damaged[position] = b"0123456789 -is\n;"[rng.random_range(0..16)],
                2 => drop(damaged.remove(position)),
                _ => damaged.insert(position, damaged[rng.random_range(0..used)]),
            }
        }
        damaged.truncate(rng.random_range(0..2 * damaged.len()).max(20));
        if let Err(error) = folder.read(&damaged) {
            let message = error.to_string();
            assert_eq!(message.lines().count(), 1, "{message}");
            assert!(message.starts_with(&*folder.path().to_string_lossy()), "{message}");
        }
    }
}
