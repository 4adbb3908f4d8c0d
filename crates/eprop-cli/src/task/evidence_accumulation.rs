//! Evidence accumulation: which side had more cues.

use std::ops::Range;

use anyhow::{Context, Result};
use burn::tensor::Device;
use burn_eprop::Batch;
use eprop_tasks::evidence_accumulation::EvidenceAccumulationConfig;

use super::{Example, Examples, Question, Task, drawn_batches, one_hot, tensor};
use crate::cli::SplitName;
use crate::config::RunConfig;
use crate::random::{Stream, generator};

/// Left and right.
const SIDES: usize = 2;

/// Trials that are drawn from the run's seed.
#[derive(Debug)]
pub struct EvidenceAccumulationTask {
    settings: EvidenceAccumulationConfig,
    batch: usize,
    seed: u64,
    device: Device,
}

impl EvidenceAccumulationTask {
    /// The task that settings describe.
    ///
    /// # Errors
    ///
    /// If they are out of range.
    pub fn new(config: &RunConfig, device: &Device) -> Result<Self> {
        let settings =
            config.evidence_accumulation.clone().context("the settings lack [evidence_accumulation]")?;
        settings.validate().context("[evidence_accumulation]")?;
        settings.check_size(config.batch).context("[evidence_accumulation]")?;
        Ok(Self { settings, batch: config.batch, seed: config.seed, device: device.clone() })
    }

    /// The steps in which the network must tell.
    fn recall(&self) -> Range<usize> {
        self.settings.steps() - self.settings.recall_ms..self.settings.steps()
    }

    fn draw(&self, stream: Stream, number: u64) -> Example {
        let drawn = self.settings.draw(self.batch, &mut generator(self.seed, stream, number));
        let (batch, steps) = (self.batch, self.settings.steps());
        let inputs = tensor(drawn.inputs, [batch, steps, self.inputs()], &self.device);
        let targets = one_hot(drawn.sides.iter().copied(), SIDES, steps);
        let mut mask = vec![0.0; steps];
        mask[self.recall()].fill(1.0);
        let question = |(sequence, &class)| Question { sequence, steps: self.recall(), class };
        Example {
            batch: Batch::new(inputs, tensor(targets, [batch, steps, SIDES], &self.device))
                .with_mask(tensor(mask.repeat(batch), [batch, steps], &self.device)),
            questions: drawn.sides.iter().enumerate().map(question).collect(),
        }
    }
}

impl Task for EvidenceAccumulationTask {
    fn title(&self) -> &'static str {
        "Evidence accumulation"
    }

    fn inputs(&self) -> usize {
        self.settings.inputs()
    }

    fn outputs(&self) -> usize {
        SIDES
    }

    fn example(&self, iteration: usize) -> Example {
        self.draw(Stream::Training, iteration as u64)
    }

    fn batches(&self, split: SplitName) -> Result<Examples<'_>> {
        drawn_batches(split, self.batch, |stream, number| self.draw(stream, number))
    }

    fn classes(&self) -> Vec<String> {
        vec!["left".into(), "right".into()]
    }
}
