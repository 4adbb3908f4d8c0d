//! Numbers as HDF5 files store them.

use half::f16;
use hdf5_reader::{ByteOrder, Datatype, VarLenKind};

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    kind: Kind,
    size: usize,
    order: ByteOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Signed,
    Unsigned,
}

impl Number {
    /// The number that a type is, if it is one that can be read.
    pub(super) fn of(datatype: &Datatype) -> Option<Self> {
        let (kind, size, order, sizes) = match *datatype {
            Datatype::FloatingPoint { size, byte_order } => (Kind::Float, size, byte_order, &[2, 4, 8][..]),
            Datatype::FixedPoint { size, signed, byte_order } => {
                (if signed { Kind::Signed } else { Kind::Unsigned }, size, byte_order, &[1, 2, 4, 8][..])
            }
            _ => return None,
        };
        sizes.contains(&size).then_some(Self { kind, size: size.into(), order })
    }

    /// The number whose sequences a type holds.
    pub(super) fn of_sequences(datatype: &Datatype) -> Option<Self> {
        match datatype {
            Datatype::VarLen { base, kind: VarLenKind::Sequence, .. } => Self::of(base),
            _ => None,
        }
    }

    pub(super) fn is_float(self) -> bool {
        self.kind == Kind::Float
    }

    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        self.size
    }

    /// Bytes as floats.
    pub(super) fn floats(self, bytes: &[u8]) -> impl ExactSizeIterator<Item = f64> {
        bytes.chunks_exact(self.size).map(move |number| {
            let bits = self.bits(number);
            match self.size {
                2 => f16::from_bits(bits as u16).to_f64(),
                4 => f64::from(f32::from_bits(bits as u32)),
                _ => f64::from_bits(bits),
            }
        })
    }

    /// Bytes as integers.
    pub(super) fn integers(self, bytes: &[u8]) -> impl ExactSizeIterator<Item = i128> {
        let unused = 64 - 8 * self.size as u32;
        bytes.chunks_exact(self.size).map(move |number| {
            let bits = self.bits(number);
            match self.kind {
                // Shifted up and down again, the sign fills the unused bits.
                Kind::Signed => i128::from(((bits << unused) as i64) >> unused),
                _ => i128::from(bits),
            }
        })
    }

    fn bits(self, number: &[u8]) -> u64 {
        let shift = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
        match self.order {
            ByteOrder::LittleEndian => number.iter().rev().fold(0, shift),
            ByteOrder::BigEndian => number.iter().fold(0, shift),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(size: u8, byte_order: ByteOrder) -> Number {
        Number::of(&Datatype::FloatingPoint { size, byte_order }).unwrap()
    }

    fn integer(size: u8, signed: bool, byte_order: ByteOrder) -> Number {
        Number::of(&Datatype::FixedPoint { size, signed, byte_order }).unwrap()
    }

    #[test]
    fn floats_of_every_size_and_order() {
        use ByteOrder::{BigEndian, LittleEndian};
        let values = |number: Number, bytes: &[u8]| number.floats(bytes).collect::<Vec<_>>();
        assert_eq!(values(float(2, LittleEndian), &[0x00, 0x3c, 0x00, 0xb8]), [1.0, -0.5]);
        assert_eq!(values(float(2, BigEndian), &[0x3c, 0x00]), [1.0]);
        assert_eq!(values(float(4, LittleEndian), &0.25_f32.to_le_bytes()), [0.25]);
        assert_eq!(values(float(8, BigEndian), &0.1_f64.to_be_bytes()), [0.1]);
    }

    #[test]
    fn integers_of_every_size_and_order() {
        use ByteOrder::{BigEndian, LittleEndian};
        let values = |number: Number, bytes: &[u8]| number.integers(bytes).collect::<Vec<_>>();
        assert_eq!(values(integer(1, false, LittleEndian), &[255, 1]), [255, 1]);
        assert_eq!(values(integer(1, true, LittleEndian), &[255, 1]), [-1, 1]);
        assert_eq!(values(integer(2, false, BigEndian), &[2, 187]), [699]);
        assert_eq!(values(integer(4, true, LittleEndian), &(-7_i32).to_le_bytes()), [-7]);
        assert_eq!(values(integer(8, false, LittleEndian), &[255; 8]), [i128::from(u64::MAX)]);
        assert_eq!(values(integer(8, true, BigEndian), &[255; 8]), [-1]);
    }

    #[test]
    fn other_types_are_refused() {
        let byte_order = ByteOrder::LittleEndian;
        assert_eq!(Number::of(&Datatype::FloatingPoint { size: 16, byte_order }), None);
        assert_eq!(Number::of(&Datatype::FixedPoint { size: 3, signed: false, byte_order }), None);
        assert_eq!(Number::of_sequences(&Datatype::FloatingPoint { size: 4, byte_order }), None);
    }
}
