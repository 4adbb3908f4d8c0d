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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Sequences that are gone through together.
    pub sequences: usize,
    /// Steps of a chunk.
    pub chunk: usize,
}

/// Values that a chunk's widest tensor should have.
const CHUNK_VALUES: usize = 300_000;
/// Steps of a chunk at most. They do not grow with the sequence.
const MOST_STEPS: usize = 512;

impl Schedule {
    /// The schedule that suits a network, a batch of sequences of so many steps, and a number of threads that share it:
    /// 1 where all sequences have to be gone through together.
    pub fn suited_to<C: Cell>(network: &Network<C>, batch: usize, steps: usize, threads: usize) -> Self {
        let pre = |layer: &RecurrentLayer<C>| layer.w_in.dims()[0] + layer.cell.neurons();
        let widest = network.layers.iter().map(pre).max().unwrap_or(1);
        // Carried traces of several currents are dear, and sequences share what is read of their weights.
        let (fewest_steps, fewest_sequences) = if C::CURRENTS > 1 { (256, 4) } else { (100, 1) };
        let mut sequences = batch.max(1);
        if threads > 1 {
            let few = (CHUNK_VALUES / (steps.clamp(1, MOST_STEPS) * widest)).max(fewest_sequences);
            // As many parts for each thread.
            let parts = sequences.div_ceil(few).next_multiple_of(threads);
            sequences = sequences.div_ceil(parts);
        }
        let most = (CHUNK_VALUES / (sequences * widest)).clamp(fewest_steps, MOST_STEPS);
        Self { sequences, chunk: steps.div_ceil(steps.div_ceil(most).max(1)).max(1) }
    }

    /// The sequences of a batch that are gone through together.
    pub(super) fn parts(&self, batch: usize) -> Vec<Range<usize>> {
        let parts = batch.div_ceil(self.sequences);
        (0..parts).map(|part| part * batch / parts..(part + 1) * batch / parts).collect()
    }
}
