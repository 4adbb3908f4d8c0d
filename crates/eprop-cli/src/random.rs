//! Random numbers that follow from a run's seed and from what they are for, so that no generator's state has to be saved.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Batches to learn from, by iteration.
    Training,
    /// Batches by which settings are chosen, by number.
    Validation,
    /// Batches by which a trained network is judged, by number.
    Test,
    /// How recordings that are learnt from are changed, by iteration.
    Augmentation,
}

/// A generator for this number of a stream.
pub fn generator(seed: u64, stream: Stream, number: u64) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes[16] = stream as u8;
    StdRng::from_seed(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn each_seed_stream_and_number_draws_for_itself() {
        let first = |seed, stream, number| generator(seed, stream, number).random::<u64>();
        let drawn = [
            first(1, Stream::Training, 1),
            first(2, Stream::Training, 1),
            first(1, Stream::Validation, 1),
            first(1, Stream::Test, 1),
            first(1, Stream::Training, 2),
        ];
        let distinct = drawn.iter().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(distinct.len(), drawn.len());
        assert_eq!(first(1, Stream::Test, 7), first(1, Stream::Test, 7));
    }
}
