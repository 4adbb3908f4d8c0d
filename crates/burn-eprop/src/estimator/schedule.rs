//! How e-prop goes through a batch.

use std::ops::Range;

use crate::cell::Cell;
use crate::layer::RecurrentLayer;
use crate::network::Network;

/// A batch is gone through some sequences after others, each of these in chunks of time. It decides about speed and
/// memory, not about the gradient.
///
/// Traces are carried from chunk to chunk, which takes time in proportion to synapses and asks for long chunks; what is
/// remembered of a chunk should stay in the processor's caches, which asks for few sequences at a time, and for short
/// chunks. With several threads, each goes through sequences of its own.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    /// Sequences that are gone through together, in contiguous parts of nearly the same size.
    pub(super) parts: Vec<Range<usize>>,
    /// Steps of a chunk.
    pub(super) chunk: usize,
}

/// Values that a chunk's widest tensor should have.
const CHUNK_VALUES: usize = 300_000;
/// Steps of a chunk at most. They do not grow with the sequence.
const MOST_STEPS: usize = 512;

impl Schedule {
    /// The schedule that suits a network, a batch of sequences of so many steps, and a number of threads that share it:
    /// 1 where all sequences have to be gone through together.
    pub(super) fn suited_to<C: Cell>(
        network: &Network<C>,
        batch: usize,
        steps: usize,
        threads: usize,
    ) -> Self {
        let pre = |layer: &RecurrentLayer<C>| layer.w_in.dims()[0] + layer.cell.neurons();
        let widest = network.layers.iter().map(pre).max().unwrap_or(1);
        // Carried traces of several currents are dear, and sequences share what is read of their weights.
        let (fewest_steps, fewest_sequences) = if C::CURRENTS > 1 { (256, 4) } else { (100, 1) };
        let has_kernels = network.layers.iter().all(|layer| layer.cell.has_kernel());
        let parts = if threads == 1 || !has_kernels {
            // Small operations take the same time for a few sequences as for many.
            threads
        } else {
            let few = (CHUNK_VALUES / (steps.clamp(1, MOST_STEPS) * widest)).max(fewest_sequences);
            batch.div_ceil(few).next_multiple_of(threads)
        };
        let parts = parts.clamp(1, batch.max(1));
        let together = batch.max(1).div_ceil(parts);
        let most = (CHUNK_VALUES / (together * widest)).clamp(fewest_steps, MOST_STEPS);
        Self {
            parts: (0..parts).map(|part| part * batch / parts..(part + 1) * batch / parts).collect(),
            chunk: steps.div_ceil(steps.div_ceil(most).max(1)).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::cell::LifConfig;
    use crate::network::NetworkConfig;

    #[test]
    fn parts_hold_every_sequence_once_and_chunks_are_bounded() {
        let device = Device::flex();
        let network = NetworkConfig::new(40, 2).init(vec![LifConfig::new(100).init(&device)], &device);
        for (batch, steps, threads) in
            [(1, 1, 1), (1, 5000, 8), (3, 100, 2), (32, 2250, 2), (100, 60_000, 8), (7, 0, 16)]
        {
            let Schedule { parts, chunk } = Schedule::suited_to(&network, batch, steps, threads);
            let sequences: Vec<_> = parts.iter().cloned().flatten().collect();
            assert_eq!(sequences, (0..batch).collect::<Vec<_>>());
            assert!(parts.iter().all(|part| !part.is_empty()) && (1..=MOST_STEPS).contains(&chunk));
            assert!(parts.len() % threads == 0 || parts.len() == batch, "{} parts", parts.len());
        }
    }
}
