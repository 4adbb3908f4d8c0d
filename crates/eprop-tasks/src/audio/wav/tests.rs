//! Tests on files built byte by byte.

use std::fs;
use std::path::PathBuf;

use crate::audio::{AudioError, MAX_SAMPLES, read_wav};

const LEVELS: [i16; 6] = [0, 16_384, -32_768, 8_192, -8_192, 4_096];
const SAMPLES: [f32; 6] = [0.0, 0.5, -1.0, 0.25, -0.25, 0.125];

/// What follows the 16 bytes of a plain `fmt `: the extensible form of integers with so many valid bits.
fn extension(valid_bits: u8) -> Vec<u8> {
    vec![22, 0, valid_bits, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113]
}

/// The content of `fmt ` at 8 kHz.
fn fmt(tag: u16, channels: u16, bits: u16, bytes: u16, extension: &[u8]) -> Vec<u8> {
    let instant = channels * bytes;
    let mut content = [tag, channels].map(u16::to_le_bytes).concat();
    content.extend([8_000, 8_000 * u32::from(instant)].map(u32::to_le_bytes).concat());
    content.extend([instant, bits].map(u16::to_le_bytes).concat());
    content.extend(extension);
    content
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let pad = vec![0; content.len() % 2];
    [name, &(content.len() as u32).to_le_bytes()[..], content, &pad].concat()
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"RIFF", &[&b"WAVE"[..], &chunks.concat()].concat())
}

fn wave(format: &[u8], data: &[u8]) -> Vec<u8> {
    riff(&[chunk(b"fmt ", format), chunk(b"data", data)])
}

/// The levels in the high bytes of `bytes` ones.
fn stored(bytes: usize) -> Vec<u8> {
    LEVELS.iter().flat_map(|level| [vec![0; bytes - 2], level.to_le_bytes().to_vec()].concat()).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("a.wav")
    }

    fn read(&self, bytes: &[u8]) -> Result<Vec<f32>, AudioError> {
        fs::write(self.path(), bytes).unwrap();
        read_wav(self.path(), 8_000)
    }

    /// What the message says after the file's name.
    fn refuse(&self, bytes: &[u8]) -> String {
        let message = self.read(bytes).unwrap_err().to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        message.split_once("a.wav: ").unwrap().1.to_owned()
    }
}

#[test]
fn valid_bits_are_the_high_ones_of_the_bits() {
    let folder = Folder::new();
    for (bits, valid) in [(16, 16), (24, 24), (32, 32), (32, 24), (32, 16), (24, 16), (32, 0)] {
        let bytes = bits / 8;
        let file = wave(&fmt(0xFFFE, 1, bits, bytes, &extension(valid)), &stored(bytes.into()));
        assert_eq!(folder.read(&file).unwrap(), SAMPLES, "{valid} of {bits} bits");
    }
}

#[test]
fn the_bits_are_the_low_ones_of_the_bytes() {
    let folder = Folder::new();
    // As ALSA writes them: the sign fills the fourth byte, or it is 0.
    let signed = LEVELS.iter().flat_map(|&level| (i32::from(level) << 8).to_le_bytes()).collect::<Vec<u8>>();
    let mut unsigned = signed.clone();
    unsigned.iter_mut().skip(3).step_by(4).for_each(|byte| *byte = 0);
    for format in [fmt(1, 1, 24, 4, &[]), fmt(0xFFFE, 1, 24, 4, &extension(24))] {
        for data in [&signed, &unsigned] {
            assert_eq!(folder.read(&wave(&format, data)).unwrap(), SAMPLES);
        }
    }
}

#[test]
fn other_chunks_are_passed_over() {
    let folder = Folder::new();
    let (format, data) = (chunk(b"fmt ", &fmt(1, 1, 16, 2, &[])), chunk(b"data", &stored(2)));
    let unpadded = chunk(b"iXML", b"<a/>\n")[..13].to_vec();
    for other in [chunk(b"iXML", b"<a/>\n"), unpadded, chunk(b"fact", &[6; 12]), chunk(b"LIST", b"")] {
        for chunks in [[&other, &format, &data], [&format, &other, &data], [&format, &data, &other]] {
            assert_eq!(folder.read(&riff(&chunks.map(Clone::clone))).unwrap(), SAMPLES, "{other:?}");
        }
    }
}

#[test]
fn a_format_may_be_longer_than_what_is_known_of_it() {
    let folder = Folder::new();
    let floats: Vec<u8> = SAMPLES.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    for more in [0, 1, 2, 4, 24, 100] {
        let rest = vec![0; more];
        for bits in [16, 32] {
            let file = wave(&fmt(1, 1, bits, bits / 8, &rest), &stored(usize::from(bits / 8)));
            assert_eq!(folder.read(&file).unwrap(), SAMPLES, "{bits} bits and {more} bytes more");
        }
        assert_eq!(folder.read(&wave(&fmt(3, 1, 32, 4, &rest), &floats)).unwrap(), SAMPLES, "{more}");
        let mut longer = [extension(16), rest].concat();
        longer[0] += more as u8;
        assert_eq!(
            folder.read(&wave(&fmt(0xFFFE, 1, 16, 2, &longer), &stored(2))).unwrap(),
            SAMPLES,
            "{more}"
        );
    }
}

/// A file whose header has these sizes for itself and for its samples.
fn sized(file_size: u32, data_size: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let mut file = wave(&fmt(1, 1, bits, bits / 8, &[]), data);
    file.truncate(44 + data.len());
    file[4..8].copy_from_slice(&file_size.to_le_bytes());
    file[40..44].copy_from_slice(&data_size.to_le_bytes());
    file
}

#[test]
fn samples_of_unknown_length_go_on_to_the_end_of_the_file() {
    let folder = Folder::new();
    let sizes = [(u32::MAX, u32::MAX), (0x7FFF_F024, 0x7FFF_F000), (0x8000_0024, 0x8000_0000), (0, 0)];
    for (file_size, data_size) in sizes {
        let piped = |bits, data: &[u8]| sized(file_size, data_size, bits, data);
        assert_eq!(folder.read(&piped(16, &stored(2))).unwrap(), SAMPLES);
        assert_eq!(folder.read(&piped(24, &[&stored(3)[3..], &[0]].concat())).unwrap(), SAMPLES[1..]);
        assert!(
            folder.refuse(&piped(16, &stored(2)[..11])).ends_with("no multiple of 2, one of each channel")
        );
        assert_eq!(folder.refuse(&piped(16, &[])), "holds no samples");
    }
    // The size of the file tells that it is the other one which is damaged.
    let message = folder.refuse(&sized(48, u32::MAX - 1, 16, &stored(2)));
    assert_eq!(message, "truncated: the header promises 2147483647 samples, the file holds 6");
    assert_eq!(folder.refuse(&sized(48, 0, 16, &stored(2))), "holds no samples");
}

#[test]
fn damaged_headers_are_refused_with_a_reason() {
    let folder = Folder::new();
    let formatted = |format: &[u8]| folder.refuse(&wave(format, &stored(2)));
    let mut wrong_rate = fmt(1, 1, 16, 2, &[]);
    wrong_rate[4] += 1;
    for (message, reason) in [
        (formatted(&fmt(1, 0, 16, 2, &[])), "it has no channels"),
        (formatted(&fmt(1, 1, 16, 1, &[])), "its samples have more bits than their bytes"),
        (formatted(&fmt(0xFFFE, 1, 16, 2, &extension(24))), "its samples have more valid bits than bits"),
        (formatted(&wrong_rate), "its sample rate contradicts its bytes of a second"),
        (formatted(&fmt(1, 1, 16, 2, &[])[..14]), "its chunk `fmt ` has 14 bytes, but must have 16"),
        (formatted(&fmt(0xFFFE, 1, 16, 2, &[22, 0])), "its chunk `fmt ` has 18 bytes, but must have 40"),
        (folder.refuse(&riff(&[chunk(b"data", &stored(2))])), "it has samples before `fmt `"),
        (folder.refuse(&riff(&[chunk(b"fmt ", &fmt(1, 1, 16, 2, &[]))])), "it ends before any samples"),
        (folder.refuse(b"RF64\xff\xff\xff\xffWAVE"), "it starts with `RF64`, not with `RIFF`"),
        (folder.refuse(b"RI\n\x07\xff\xff\xff\xffWAVE"), "it starts with `RI\\n\\u{7}`, not with `RIFF`"),
        (folder.refuse(b"RIFF\xff\xff\xff\xffAVI "), "it is another kind of RIFF file"),
    ] {
        assert_eq!(message, format!("not a valid WAV file: {reason}"));
    }
}

#[test]
fn other_encodings_are_named() {
    let folder = Folder::new();
    let a_law = [&extension(8)[..8], &[6], &extension(8)[9..]].concat();
    let private = [&extension(8)[..23], &[0]].concat();
    for (format, name) in [
        (fmt(2, 1, 4, 1, &[]), "ADPCM"),
        (fmt(0x55, 1, 0, 1, &[]), "MPEG audio"),
        (fmt(0xFFFE, 1, 8, 1, &a_law), "A-law"),
        (fmt(0xFFFE, 1, 8, 1, &private), "encoding 0xFFFE"),
        (fmt(3, 1, 64, 8, &[]), "64-bit float PCM"),
        (fmt(1, 1, 12, 2, &[]), "12-bit integer PCM"),
        (fmt(0xFFFE, 1, 32, 4, &extension(20)), "20-bit integer PCM"),
        (fmt(1, 1, 16, 4, &[]), "16-bit integer PCM with padded samples"),
    ] {
        let message = folder.refuse(&wave(&format, &[0; 8]));
        assert!(message.starts_with(&format!("{name} is not supported: ")), "{message}");
    }
}

#[test]
fn what_would_not_fit_is_refused_before_it_is_read() {
    let folder = Folder::new();
    let instants = MAX_SAMPLES / 384 + 1;
    let mut file = wave(&fmt(1, 1, 8, 1, &[]), &vec![128; instants]);
    file[24..32].copy_from_slice(&[1_000_u32, 1_000].map(u32::to_le_bytes).concat());
    fs::write(folder.path(), file).unwrap();
    let message = read_wav(folder.path(), 384_000).unwrap_err().to_string();
    assert!(message.ends_with("268435584 samples at 384000 Hz, but at most 268435456 are read"), "{message}");
}
