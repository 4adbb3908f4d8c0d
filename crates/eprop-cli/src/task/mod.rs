//! Tasks as the training loop sees them.

mod character_model;
mod copy_repeat;
mod pattern_generation;
mod spoken_digits;

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use burn_eprop::Batch;

use crate::cli::SplitName;
use crate::config::{RunConfig, TaskName};
use crate::run_folder::RunFolder;

pub use character_model::{CharacterModelConfig, CharacterModelTask};
pub use copy_repeat::CopyRepeatTask;
pub use pattern_generation::PatternGeneration;
pub use spoken_digits::SpokenDigitsTask;

/// A batch and what its sequences are.
#[derive(Debug, Clone)]
pub struct Example {
    /// Inputs and targets.
    pub batch: Batch,
    /// The class of each sequence, in tasks that have classes.
    pub classes: Vec<usize>,
}

/// Batches that are made as they are asked for.
pub type Examples<'a> = Box<dyn Iterator<Item = Example> + 'a>;

/// A task.
pub trait Task {
    /// Number of inputs.
    fn inputs(&self) -> usize;

    /// Number of outputs.
    fn outputs(&self) -> usize;

    /// The next batch to learn from. The sequence of batches follows from the run's seed.
    fn next(&mut self) -> Example;

    /// Hears what [`score`](Self::score) the last batch got while it was learnt from.
    fn observe(&mut self, _score: f64) {}

    /// How far the training has come, for tasks that grow with it.
    fn progress(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// What must be kept of the training to see other data as the network saw those, as TOML.
    fn statistics(&self) -> Option<String> {
        None
    }

    /// All batches of a part of the data, one after the other, in an order that does not change.
    fn batches(&self, split: SplitName) -> Result<Examples<'_>>;

    /// What [`score`](Self::score) is: `accuracy`, `bits` or `nmse`.
    fn score_name(&self) -> &'static str;

    /// How good outputs [batch, time, outputs] are.
    fn score(&self, outputs: &Tensor<3>, example: &Example) -> f64;

    /// Names of the classes, and the class that outputs decide for in each sequence; for tasks that have
    /// classes.
    fn decisions(&self, _outputs: &Tensor<3>, _example: &Example) -> Option<(Vec<String>, Vec<usize>)> {
        None
    }
}

/// Name of a run's file with [`Task::statistics`].
pub const STATISTICS: &str = "statistics.toml";

/// The task of a run that is to be trained.
///
/// # Errors
///
/// If the task's settings are out of range, or its data are missing or damaged.
pub fn train(config: &RunConfig, device: &Device) -> Result<Box<dyn Task>> {
    Ok(match config.task {
        TaskName::CharacterModel => Box::new(CharacterModelTask::train(config, device)?),
        TaskName::CopyRepeat => Box::new(CopyRepeatTask::train(config, device)?),
        TaskName::PatternGeneration => Box::new(PatternGeneration::new(config, device)?),
        TaskName::SpokenDigits => Box::new(SpokenDigitsTask::train(config, device)?),
    })
}

/// The task of a run that has been, on the recordings of `config.data`.
///
/// # Errors
///
/// As [`train`]; also if the run's statistics cannot be read.
pub fn evaluate(config: &RunConfig, run: &RunFolder, device: &Device) -> Result<Box<dyn Task>> {
    let statistics = run.file(STATISTICS);
    Ok(match config.task {
        TaskName::CharacterModel => Box::new(CharacterModelTask::evaluate(config, &statistics, device)?),
        TaskName::CopyRepeat => Box::new(CopyRepeatTask::evaluate(config, &statistics, device)?),
        TaskName::PatternGeneration => Box::new(PatternGeneration::new(config, device)?),
        TaskName::SpokenDigits => Box::new(SpokenDigitsTask::evaluate(config, &statistics, device)?),
    })
}

/// Values of a tensor.
pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().convert::<f32>().try_into_vec::<f32>().expect("converted to f32")
}
