//! Samples as files store them.

/// How a sample is stored, the low byte first if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// 0 to 255, with silence at 128.
    Unsigned8,
    Signed16,
    /// The high byte first.
    BigEndian16,
    Signed24,
    /// In the low three of four bytes.
    Signed24Of32,
    Signed32,
    Float32,
}

impl Encoding {
    /// Bytes of a sample.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 => 1,
            Self::Signed16 | Self::BigEndian16 => 2,
            Self::Signed24 => 3,
            Self::Signed24Of32 | Self::Signed32 | Self::Float32 => 4,
        }
    }

    /// The sample in these bytes: an integer of b bits divided by 2^(b−1).
    pub(super) fn sample(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::Unsigned8, &[a]) => f32::from(i16::from(a) - 128) / 128.0,
            (Self::Signed16, &[a, b]) => f32::from(i16::from_le_bytes([a, b])) / 32_768.0,
            (Self::BigEndian16, &[a, b]) => f32::from(i16::from_be_bytes([a, b])) / 32_768.0,
            // In the high bytes of 32 bits, 24 keep their share of full scale.
            (Self::Signed24, &[a, b, c]) | (Self::Signed24Of32, &[a, b, c, _]) => of_full_scale([0, a, b, c]),
            (Self::Signed32, &[a, b, c, d]) => of_full_scale([a, b, c, d]),
            (Self::Float32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            _ => panic!("{} bytes for {self:?}", bytes.len()),
        }
    }
}

fn of_full_scale(bytes: [u8; 4]) -> f32 {
    i32::from_le_bytes(bytes) as f32 / 2_147_483_648.0
}

#[cfg(test)]
mod tests {
    use super::Encoding::*;

    #[test]
    fn every_encoding_spans_full_scale() {
        for (encoding, half, lowest) in [
            (Unsigned8, &[0xC0][..], &[0][..]),
            (Signed16, &[0, 0x40], &[0, 0x80]),
            (BigEndian16, &[0x40, 0], &[0x80, 0]),
            (Signed24, &[0, 0, 0x40], &[0, 0, 0x80]),
            (Signed24Of32, &[0, 0, 0x40, 0], &[0, 0, 0x80, 0xFF]),
            (Signed32, &[0, 0, 0, 0x40], &[0, 0, 0, 0x80]),
            (Float32, &[0, 0, 0, 0x3F], &[0, 0, 0x80, 0xBF]),
        ] {
            assert_eq!(encoding.bytes(), half.len());
            assert_eq!((encoding.sample(half), encoding.sample(lowest)), (0.5, -1.0), "{encoding:?}");
        }
    }

    #[test]
    fn the_smallest_step_is_that_of_the_bits() {
        assert_eq!(Signed24.sample(&[1, 0, 0]), 0.5_f32.powi(23));
        assert_eq!(Signed24Of32.sample(&[0xFF, 0xFF, 0xFF, 0]), -0.5_f32.powi(23));
        assert_eq!(Signed32.sample(&[1, 0, 0, 0]), 0.5_f32.powi(31));
    }
}
