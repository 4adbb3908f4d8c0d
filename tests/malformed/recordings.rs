//! Recordings and their transcripts.

use std::path::Path;

use eprop_tasks::audio::{read_sphere, read_wav};
use eprop_tasks::timit::{Split, Timit, TimitConfig};

use crate::format::{Format, reader, replaced};

/// RIFF/WAVE (Microsoft's and IBM's Multimedia Programming Interface 1.0): 16-bit integers, also of unknown length, 32-bit floats behind
/// a chunk of odd size, and 24-bit integers in the extensible form, also in 32 bits.
pub(crate) fn wav() -> Format {
    let integers = wave(&fmt(1, 1, 16, &[]), &levels(40));
    let floats: Vec<u8> = (0..40_u8).flat_map(|i| (f32::from(i) / 50.0).to_le_bytes()).collect();
    // Bits that count, channel mask, and the identifier of integer PCM.
    let extension = [22, 0, 24, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113];
    let extensible = [24, 32].map(|bits| wave(&fmt(0xfffe, 1, bits, &extension), &[1; 120]));
    let mut piped = integers.clone();
    [4..8, 40..44].into_iter().for_each(|size| piped[size].fill(0xff));
    let mut floats = wave(&fmt(3, 2, 32, &[0; 24]), &floats);
    floats.splice(12..12, *b"iXML\x05\0\0\0<a/>\n\0");
    let claims = [b"data", b"fmt ", b"RIFF"].map(|chunk| {
        let at = integers.windows(4).position(|bytes| bytes == chunk).expect("a chunk") + 4;
        let mut bytes = integers.clone();
        bytes[at..at + 4].fill(0xff);
        bytes
    });
    Format {
        name: "WAV",
        file: "a.wav",
        refused: claims[..2].to_vec(),
        sound: [vec![integers, floats, piped], extensible.to_vec()].concat(),
        variants: 4000,
        read: reader("a.wav", |_| (), |path| check_samples(read_wav(path, 8000))),
    }
}

/// A minute at a high rate, of which little is kept at a low one.
pub(crate) fn long_wav() -> Format {
    let mut bytes = wave(&fmt(1, 1, 8, &[]), &vec![100; 60 * 384_000]);
    bytes[24..32].copy_from_slice(&[384_000_u32; 2].map(u32::to_le_bytes).concat());
    Format {
        name: "long WAV",
        file: "a.wav",
        sound: vec![bytes],
        refused: Vec::new(),
        variants: 0,
        read: reader("a.wav", |_| (), |path| check_samples(read_wav(path, 8000))),
    }
}

/// Rates at which filters are longest.
pub(crate) fn rates() -> Format {
    let at_rate = |hz: u32| {
        let mut bytes = wave(&fmt(1, 1, 16, &[]), &levels(40));
        bytes[24..32].copy_from_slice(&[hz, 2 * hz].map(u32::to_le_bytes).concat());
        bytes
    };
    Format {
        name: "WAV of any rate",
        file: "a.wav",
        sound: [1000, 1001, 7999, 191_999, 383_999, 384_000].map(at_rate).to_vec(),
        refused: vec![at_rate(0), at_rate(999), at_rate(384_001)],
        variants: 0,
        read: reader("a.wav", |_| (), |path| check_samples(read_wav(path, 8000))),
    }
}

/// The NIST SPHERE format of speech corpora.
pub(crate) fn sphere() -> Format {
    let mono = sphere_file("", &levels(40));
    let stereo = sphere_file("channel_count -i 2\nchannels_interleaved -s4 TRUE\n", &levels(80));
    let claims = [
        replaced(&mono, b"sample_count -i 40", b"sample_count -i 5000000000"),
        replaced(&mono, b"   1024\n", b"9999999\n"),
        replaced(&mono, b"sample_count -i 40", b"sample_count -i 18446744073709551615"),
    ];
    Format {
        name: "SPHERE",
        file: "a.sph",
        sound: vec![mono, stereo],
        refused: claims.to_vec(),
        variants: 2000,
        read: reader("a.sph", |_| (), |path| check_samples(read_sphere(path, 16_000))),
    }
}

/// A transcript in TIMIT's folders.
pub(crate) fn transcript() -> Format {
    let read = |path: &Path| {
        let root = path.ancestors().nth(4).expect("TRAIN/DR1/FCJF0/SX37.PHN in a folder");
        let load = |timit: Timit| timit.load(Split::Train, &TimitConfig::default());
        let sentences = Timit::open(root).and_then(load).map_err(|error| error.to_string())?;
        assert!(sentences.iter().all(|sentence| sentence.frames.len() == sentence.phones.len()));
        Ok(())
    };
    let fill = |root: &Path| {
        let speaker = root.join("TRAIN/DR1/FCJF0");
        std::fs::create_dir_all(&speaker).expect("created");
        std::fs::create_dir(root.join("TEST")).expect("created");
        std::fs::write(speaker.join("SX37.WAV"), sphere_file("", &levels(2400))).expect("written");
    };
    Format {
        name: "transcript",
        file: "SX37.PHN",
        sound: vec![b"0 800 h#\n800 1600 iy\n1600 2400 ow\n".to_vec()],
        refused: vec![b"0 5000000000 h#\n".to_vec(), b"0 18446744073709551615 h#\n".to_vec()],
        variants: 1000,
        read: reader("TRAIN/DR1/FCJF0/SX37.PHN", fill, read),
    }
}

fn check_samples(samples: Result<Vec<f32>, impl ToString>) -> Result<(), String> {
    let samples = samples.map_err(|error| error.to_string())?;
    assert!(samples.iter().all(|sample| sample.abs() <= 1.0), "full scale is 1");
    Ok(())
}

/// 16-bit samples, little endian.
fn levels(count: i16) -> Vec<u8> {
    (0..count).flat_map(|i| (i * 7 % 1000).to_le_bytes()).collect()
}

/// A format chunk's content at 8 kHz.
fn fmt(tag: u16, channels: u16, bits: u16, extension: &[u8]) -> Vec<u8> {
    let frame = channels * bits / 8;
    let mut bytes = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
    bytes.extend([8000_u32, 8000 * u32::from(frame)].map(u32::to_le_bytes).concat());
    bytes.extend([frame, bits].map(u16::to_le_bytes).concat());
    bytes.extend(extension);
    bytes
}

fn wave(format: &[u8], data: &[u8]) -> Vec<u8> {
    let chunk = |name: &[u8], content: &[u8]| [name, &(content.len() as u32).to_le_bytes(), content].concat();
    let content = [b"WAVE".to_vec(), chunk(b"fmt ", format), chunk(b"data", data)].concat();
    chunk(b"RIFF", &content)
}

/// Forty samples a channel at 16 kHz, or as many as there are in one.
fn sphere_file(channels: &str, data: &[u8]) -> Vec<u8> {
    let one = if channels.is_empty() { "channel_count -i 1\n" } else { channels };
    let count = if channels.is_empty() { data.len() / 2 } else { data.len() / 4 };
    let mut bytes = format!(
        "NIST_1A\n   1024\n{one}sample_count -i {count}\nsample_rate -i 16000\nsample_n_bytes -i 2\n\
         sample_byte_format -s2 01\nsample_coding -s3 pcm\nend_head\n"
    )
    .into_bytes();
    bytes.resize(1024, b' ');
    bytes.extend(data);
    bytes
}
