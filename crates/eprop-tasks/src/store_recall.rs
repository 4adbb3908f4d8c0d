//! Store-recall: hold a bit until it is asked for.
//!
//! A sequence is a row of frames, in each of which a random bit is shown. In some frames STORE is shown beside the bit, and
//! in some later one RECALL, without a bit: there the network must tell the bit that it saw with STORE. The inputs are four groups
//! of Poisson neurons, for the bits 0 and 1, for STORE and for RECALL, which are active in the frames that show
//! them (Bellec et al. 2019, arXiv:1901.09049). STORE and RECALL take turns, each in a frame with a fixed probability; sequences
//! without a RECALL are drawn anew.

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::range_error::RangeError;
use crate::{MAX_VALUES, poisson};

/// Groups of inputs: 0, 1, STORE, RECALL.
const GROUPS: usize = 4;
const STORE: usize = 2;
const RECALL: usize = 3;

/// Configuration of store-recall; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreRecallConfig {
    /// Frames of a sequence.
    pub frames: usize,
    /// Duration of a frame in ms.
    pub frame_ms: usize,
    /// Probability of STORE in a frame after the last RECALL.
    pub store_probability: f64,
    /// Probability of RECALL in a frame after STORE.
    pub recall_probability: f64,
    /// Whether bits are shown in all frames but RECALL, not with STORE alone.
    pub distractors: bool,
    /// Neurons of each of the four groups of inputs.
    pub group: usize,
    /// Rate of a group that is shown in Hz.
    pub rate_hz: f64,
}

impl Default for StoreRecallConfig {
    fn default() -> Self {
        Self {
            frames: 12,
            frame_ms: 200,
            store_probability: 1.0 / 7.0,
            recall_probability: 1.0 / 7.0,
            distractors: true,
            group: 25,
            rate_hz: 50.0,
        }
    }
}

/// A frame in which a bit is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recall {
    /// The sequence.
    pub sequence: usize,
    /// The frame in it.
    pub frame: usize,
    /// The bit.
    pub bit: usize,
}

/// Sequences, a step a millisecond.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Spikes 0 or 1, shape [sequence, time, input].
    pub inputs: Vec<f32>,
    /// What is asked for, in order.
    pub recalls: Vec<Recall>,
}

/// What a frame shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    None,
    Store,
    Recall,
}

impl StoreRecallConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        RangeError::check((2..=10_000).contains(&self.frames), "frames", self.frames, "2 to 10000")?;
        RangeError::check((1..=10_000).contains(&self.frame_ms), "frame_ms", self.frame_ms, "1 to 10000 ms")?;
        let probabilities =
            [("store_probability", self.store_probability), ("recall_probability", self.recall_probability)];
        for (field, probability) in probabilities {
            // With less, sequences that have a RECALL would take long to find.
            let valid = (0.001..=1.0).contains(&probability);
            RangeError::check(valid, field, probability, "0.001 to 1")?;
        }
        RangeError::check((1..=10_000).contains(&self.group), "group", self.group, "1 to 10000 neurons")?;
        poisson::check_rate("rate_hz", self.rate_hz, 1.0)
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        GROUPS * self.group
    }

    /// Steps of a sequence, each of a millisecond.
    pub fn steps(&self) -> usize {
        self.frames * self.frame_ms
    }

    /// Checks that sequences fit into memory.
    ///
    /// # Errors
    ///
    /// If they are too many values.
    pub fn check_size(&self, sequences: usize) -> Result<(), RangeError> {
        let values = [sequences, self.steps(), self.inputs()].into_iter().fold(1, usize::saturating_mul);
        let range = format!("so few that a batch has at most {MAX_VALUES} values");
        RangeError::check(values <= MAX_VALUES, "frames", self.frames, range)
    }

    /// Draws sequences.
    pub fn draw(&self, sequences: usize, rng: &mut StdRng) -> Drawn {
        let mut inputs = vec![0.0; sequences * self.steps() * self.inputs()];
        let mut recalls = Vec::new();
        for (sequence, inputs) in inputs.chunks_exact_mut(self.steps() * self.inputs()).enumerate() {
            let commands = self.draw_commands(rng);
            let mut stored = 0;
            let frames = inputs.chunks_exact_mut(self.frame_ms * self.inputs());
            for (frame, (inputs, command)) in frames.zip(commands).enumerate() {
                let bit = usize::from(rng.random_bool(0.5));
                match command {
                    Command::None if self.distractors => self.show(inputs, bit, rng),
                    Command::None => {}
                    Command::Store => {
                        stored = bit;
                        self.show(inputs, bit, rng);
                        self.show(inputs, STORE, rng);
                    }
                    Command::Recall => {
                        recalls.push(Recall { sequence, frame, bit: stored });
                        self.show(inputs, RECALL, rng);
                    }
                }
            }
        }
        Drawn { inputs, recalls }
    }

    /// The commands of a sequence with at least one RECALL.
    fn draw_commands(&self, rng: &mut StdRng) -> Vec<Command> {
        loop {
            let mut stored = false;
            let mut draw = || {
                let probability = if stored { self.recall_probability } else { self.store_probability };
                if !rng.random_bool(probability) {
                    return Command::None;
                }
                stored = !stored;
                if stored { Command::Store } else { Command::Recall }
            };
            let commands: Vec<Command> = (0..self.frames).map(|_| draw()).collect();
            if commands.contains(&Command::Recall) {
                return commands;
            }
        }
    }

    /// Lets a group spike in a frame.
    fn show(&self, frame: &mut [f32], group: usize, rng: &mut StdRng) {
        for row in frame.chunks_exact_mut(self.inputs()) {
            poisson::fill(&mut row[group * self.group..][..self.group], self.rate_hz, 1.0, rng);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Which groups are shown in each frame of the sequences, where they spike in each step.
    fn frames(config: &StoreRecallConfig, inputs: &[f32]) -> Vec<[bool; GROUPS]> {
        let shown = |frame: &[f32]| {
            std::array::from_fn(|group| {
                let spikes = frame.chunks(config.inputs()).map(|row| row[group * config.group]).sum::<f32>();
                assert!(spikes == 0.0 || spikes == config.frame_ms as f32, "all of a frame or none");
                spikes > 0.0
            })
        };
        inputs.chunks(config.frame_ms * config.inputs()).map(shown).collect()
    }

    #[test]
    fn what_is_asked_for_is_the_bit_beside_the_last_store() {
        for distractors in [true, false] {
            let config = StoreRecallConfig { rate_hz: 1000.0, distractors, ..Default::default() };
            assert_eq!((config.steps(), config.inputs()), (2400, 100));
            let drawn = config.draw(60, &mut StdRng::seed_from_u64(3));
            let mut recalls = drawn.recalls.iter();
            for (sequence, frames) in frames(&config, &drawn.inputs).chunks(config.frames).enumerate() {
                let mut stored = None;
                let mut count = 0;
                for (frame, &[zero, one, store, recall]) in frames.iter().enumerate() {
                    assert!(!(zero && one));
                    assert_eq!(zero || one, store || (distractors && !recall));
                    if store {
                        assert!(stored.is_none() && !recall, "STORE and RECALL take turns");
                        stored = Some(usize::from(one));
                    }
                    if recall {
                        let bit = stored.take().expect("RECALL follows STORE");
                        assert_eq!(recalls.next(), Some(&Recall { sequence, frame, bit }));
                        count += 1;
                    }
                }
                assert!(count >= 1, "each sequence has a RECALL");
            }
            assert!(recalls.next().is_none());
        }
    }

    #[test]
    fn bits_are_as_frequent() {
        let drawn = StoreRecallConfig::default().draw(300, &mut StdRng::seed_from_u64(4));
        let ones = drawn.recalls.iter().map(|recall| recall.bit).sum::<usize>() as f64;
        let share = ones / drawn.recalls.len() as f64;
        assert!((share - 0.5).abs() < 0.1, "{share}");
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let refused = |config: StoreRecallConfig| config.validate().unwrap_err().field;
        let default = StoreRecallConfig::default;
        assert_eq!(refused(StoreRecallConfig { frames: 1, ..default() }), "frames");
        assert_eq!(refused(StoreRecallConfig { recall_probability: 0.0, ..default() }), "recall_probability");
        assert_eq!(refused(StoreRecallConfig { rate_hz: -1.0, ..default() }), "rate_hz");
        assert_eq!(default().check_size(1 << 20).unwrap_err().field, "frames");
        default().validate().unwrap();
    }
}
