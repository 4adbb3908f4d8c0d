//! Store-recall: which bit was to be held.

use anyhow::{Context, Result};
use burn::tensor::Device;
use burn_eprop::Batch;
use eprop_tasks::store_recall::StoreRecallConfig;

use super::{Example, Examples, Question, Task, drawn_batches, tensor};
use crate::cli::SplitName;
use crate::config::RunConfig;
use crate::random::{Stream, generator};

/// 0 and 1.
const BITS: usize = 2;

/// Sequences that are drawn from the run's seed.
#[derive(Debug)]
pub struct StoreRecallTask {
    settings: StoreRecallConfig,
    batch: usize,
    seed: u64,
    device: Device,
}

impl StoreRecallTask {
    /// The task that settings describe.
    ///
    /// # Errors
    ///
    /// If they are out of range.
    pub fn new(config: &RunConfig, device: &Device) -> Result<Self> {
        let settings = config.store_recall.clone().context("the settings lack [store_recall]")?;
        settings.validate().context("[store_recall]")?;
        settings.check_size(config.batch).context("[store_recall]")?;
        Ok(Self { settings, batch: config.batch, seed: config.seed, device: device.clone() })
    }

    fn draw(&self, stream: Stream, number: u64) -> Example {
        let drawn = self.settings.draw(self.batch, &mut generator(self.seed, stream, number));
        let (batch, steps, frame) = (self.batch, self.settings.steps(), self.settings.frame_ms);
        let (mut targets, mut mask) = (vec![0.0; batch * steps * BITS], vec![0.0; batch * steps]);
        let mut questions = Vec::with_capacity(drawn.recalls.len());
        for recall in drawn.recalls {
            let within = recall.frame * frame..(recall.frame + 1) * frame;
            for step in within.clone() {
                let row = recall.sequence * steps + step;
                targets[row * BITS + recall.bit] = 1.0;
                mask[row] = 1.0;
            }
            questions.push(Question { sequence: recall.sequence, steps: within, class: recall.bit });
        }
        let inputs = tensor(drawn.inputs, [batch, steps, self.inputs()], &self.device);
        let batch = Batch::new(inputs, tensor(targets, [batch, steps, BITS], &self.device))
            .with_mask(tensor(mask, [batch, steps], &self.device));
        Example { batch, questions }
    }
}

impl Task for StoreRecallTask {
    fn title(&self) -> &'static str {
        "Store-recall"
    }

    fn inputs(&self) -> usize {
        self.settings.inputs()
    }

    fn outputs(&self) -> usize {
        BITS
    }

    fn example(&self, iteration: usize) -> Example {
        self.draw(Stream::Training, iteration as u64)
    }

    fn batches(&self, split: SplitName) -> Result<Examples<'_>> {
        drawn_batches(split, self.batch, |stream, number| self.draw(stream, number))
    }

    fn classes(&self) -> Vec<String> {
        vec!["0".into(), "1".into()]
    }
}
