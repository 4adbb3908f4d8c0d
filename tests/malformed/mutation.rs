//! Sound files made malformed, the same in every run.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Bytes of a file's beginning, where most formats say what follows; every second edit is there.
const HEAD: usize = 256;

/// Values that fields of sizes and positions may claim.
const CLAIMS: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    10_000_000_000,
    1 << 40,
    1 << 62,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// What may stand where a text has a number.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1e400",
    "1e-400",
    "0.5",
    "10000000000",
    "18446744073709551615",
    "18446744073709551616",
    "nan",
    "inf",
    "-inf",
    "",
    "\"1\"",
    "[1, [1]]",
];

/// Draws malformed files.
pub(crate) struct Mutator<'a> {
    rng: StdRng,
    sound: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    /// Of these sound files.
    pub(crate) fn new(sound: &'a [Vec<u8>]) -> Self {
        Self { rng: StdRng::seed_from_u64(0), sound }
    }

    /// A sound file with one to three edits, or, rarely, mere noise.
    pub(crate) fn variant(&mut self) -> Vec<u8> {
        if self.rng.random_range(0..50) == 0 {
            return self.noise(300);
        }
        let mut bytes = self.any_sound().clone();
        for _ in 0..self.rng.random_range(1..=3) {
            self.edit(&mut bytes);
        }
        bytes
    }

    fn any_sound(&mut self) -> &'a Vec<u8> {
        let index = self.rng.random_range(0..self.sound.len());
        &self.sound[index]
    }

    fn edit(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = self.place(bytes.len());
        match self.rng.random_range(0..8) {
            0 => bytes[at] ^= 1 << self.rng.random_range(0..8),
            1 => {
                let value = [0, 1, b' ', 0x7f, 0x80, 0xff][self.rng.random_range(0..6)];
                let end = (at + self.rng.random_range(1..=8)).min(bytes.len());
                bytes[at..end].fill(value);
            }
            2 | 3 => self.claim(bytes, at),
            4 => self.number(bytes, at),
            5 => {
                let noise = self.noise(16);
                let end = (at + noise.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&noise[..end - at]);
            }
            6 => self.splice(bytes, at),
            _ => bytes.truncate(at),
        }
    }

    fn place(&mut self, length: usize) -> usize {
        let head = self.rng.random::<bool>();
        self.rng.random_range(0..if head { length.min(HEAD) } else { length })
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let length = self.rng.random_range(0..=most);
        (0..length).map(|_| self.rng.random()).collect()
    }

    /// A field of 1 to 8 bytes, mostly where fields of that size would be, that claims something else.
    fn claim(&mut self, bytes: &mut [u8], at: usize) {
        let width = 1 << self.rng.random_range(0..4);
        let at = if self.rng.random_range(0..4) > 0 { at / width * width } else { at };
        let length = bytes.len() as u64;
        let value = match self.rng.random_range(0..4) {
            0 => length.wrapping_add_signed(self.rng.random_range(-2..=2)),
            1 => self.rng.random_range(0..=length),
            _ => CLAIMS[self.rng.random_range(0..CLAIMS.len())],
        };
        let end = (at + width).min(bytes.len());
        let mut field = value.to_le_bytes()[..width].to_vec();
        if self.rng.random() {
            field.reverse();
        }
        bytes[at..end].copy_from_slice(&field[..end - at]);
    }

    /// Another number in place of the next one in the text.
    fn number(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|start| at + start) else {
            return;
        };
        let end = bytes[start..].iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.');
        let end = end.map_or(bytes.len(), |end| start + end);
        let number = NUMBERS[self.rng.random_range(0..NUMBERS.len())];
        bytes.splice(start..end, number.bytes());
    }

    /// A part of a sound file in place of another part: every second time of one of the same length.
    fn splice(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let other = self.any_sound();
        let from = self.rng.random_range(0..other.len());
        let to = (from + self.rng.random_range(0..=64)).min(other.len());
        let length = if self.rng.random() { to - from } else { self.rng.random_range(0..=64) };
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, other[from..to].iter().copied());
    }
}
