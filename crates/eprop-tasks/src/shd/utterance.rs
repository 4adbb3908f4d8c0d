//! Utterances as spikes.

use super::{Bins, ShdConfig};
use crate::features::Frames;

/// A spike in a time bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spike {
    /// The time bin.
    pub step: u16,
    /// The input.
    pub input: u16,
}

/// One utterance as spikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpikeUtterance {
    /// Its spikes, sorted by step and input. Where counted, equal spikes stand beside each other.
    pub spikes: Vec<Spike>,
    /// Number of steps.
    pub steps: usize,
    /// Number of inputs.
    pub inputs: usize,
    /// The class, 0 to 19.
    pub label: u8,
    /// Who speaks, if the file tells.
    pub speaker: Option<u16>,
}

impl SpikeUtterance {
    /// The inputs of a network, shape [time, input]: how many spikes each has at each step.
    pub fn dense(&self) -> Frames {
        let mut data = vec![0.0; self.steps * self.inputs];
        for spike in &self.spikes {
            data[usize::from(spike.step) * self.inputs + usize::from(spike.input)] += 1.0;
        }
        Frames { data, features: self.inputs }
    }
}

/// Spikes at times in seconds as spikes in time bins. The times must be numbers from 0.
pub(super) fn bin(spikes: impl Iterator<Item = (f64, u16)>, config: &ShdConfig) -> Vec<Spike> {
    let last = config.steps as f64;
    let mut binned: Vec<Spike> = spikes
        .filter_map(|(time_s, unit)| {
            let step = (time_s / config.duration_s * last).floor();
            let input = unit / config.units_per_input as u16;
            (step < last).then_some(Spike { step: step as u16, input })
        })
        .collect();
    binned.sort_unstable();
    if config.bins == Bins::Binary {
        binned.dedup();
    }
    binned.shrink_to_fit();
    binned
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIKES: [(f64, u16); 6] = [(0.9, 0), (0.0, 699), (0.1, 4), (0.19, 5), (1.0, 3), (0.15, 4)];

    fn binned(bins: Bins, units_per_input: usize) -> Vec<(u16, u16)> {
        let config = ShdConfig { steps: 10, duration_s: 1.0, bins, units_per_input, ..ShdConfig::default() };
        bin(SPIKES.into_iter(), &config).into_iter().map(|spike| (spike.step, spike.input)).collect()
    }

    #[test]
    fn late_spikes_are_dropped_and_the_others_sorted() {
        assert_eq!(binned(Bins::Counts, 1), [(0, 699), (1, 4), (1, 4), (1, 5), (9, 0)]);
        assert_eq!(binned(Bins::Binary, 1), [(0, 699), (1, 4), (1, 5), (9, 0)]);
    }

    #[test]
    fn neighbouring_units_share_an_input() {
        assert_eq!(binned(Bins::Counts, 6), [(0, 116), (1, 0), (1, 0), (1, 0), (9, 0)]);
        assert_eq!(binned(Bins::Binary, 6), [(0, 116), (1, 0), (9, 0)]);
        assert_eq!(ShdConfig { units_per_input: 6, ..ShdConfig::default() }.inputs(), 117);
    }

    #[test]
    fn dense_inputs_count_the_spikes() {
        let spikes = [(0, 1), (2, 0), (2, 0)].map(|(step, input)| Spike { step, input }).to_vec();
        let utterance = SpikeUtterance { spikes, steps: 3, inputs: 2, label: 0, speaker: None };
        let frames = utterance.dense();
        assert_eq!((frames.len(), frames.features), (3, 2));
        assert_eq!(frames.data, [0.0, 1.0, 0.0, 0.0, 2.0, 0.0]);
    }
}
