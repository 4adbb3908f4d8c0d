//! Tasks as the training loop sees them.

mod pattern_generation;
mod spoken_digits;

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use burn_eprop::Batch;

use crate::cli::SplitName;
use crate::config::{RunConfig, TaskName};
use crate::run_folder::RunFolder;

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

/// A task.
pub trait Task {
    /// Number of inputs.
    fn inputs(&self) -> usize;

    /// Number of outputs.
    fn outputs(&self) -> usize;

    /// The next batch to learn from. The sequence of batches follows from the run's seed.
    fn next(&mut self) -> Example;

    /// What must be kept of the training data to see other data as the network saw those, as TOML.
    fn statistics(&self) -> Option<String> {
        None
    }

    /// All batches of a part of the data, in an order that does not change.
    fn batches(&self, split: SplitName) -> Result<Vec<Example>>;

    /// What [`score`](Self::score) is: `accuracy` or `nmse`.
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
    Ok(match config.task {
        TaskName::PatternGeneration => Box::new(PatternGeneration::new(config, device)?),
        TaskName::SpokenDigits => {
            Box::new(SpokenDigitsTask::evaluate(config, &run.file(STATISTICS), device)?)
        }
    })
}

/// Values of a tensor.
pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().convert::<f32>().try_into_vec::<f32>().expect("converted to f32")
}
