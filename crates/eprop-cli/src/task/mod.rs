//! Tasks as the training loop sees them.

mod character_model;
mod copy_repeat;
mod data_set;
mod evidence_accumulation;
mod pattern_generation;
mod question;
mod recorded;
mod store_recall;

use std::iter::repeat_n;

use anyhow::{Result, bail, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::Batch;
use eprop_tasks::plot::{Lines, Panel, Raster, Series};

use crate::cli::SplitName;
use crate::config::{RunConfig, TaskName};
use crate::random::Stream;
use crate::run_folder::RunFolder;

pub use character_model::{CharacterModelConfig, CharacterModelTask};
pub use copy_repeat::CopyRepeatTask;
pub use data_set::RecordedTask;
pub use evidence_accumulation::EvidenceAccumulationTask;
pub use pattern_generation::PatternGeneration;
pub use question::{Question, accuracy, decide};
pub use store_recall::StoreRecallTask;

/// A batch and what its sequences are.
#[derive(Debug, Clone)]
pub struct Example {
    /// Inputs and targets.
    pub batch: Batch,
    /// What the network must decide, in tasks that have classes.
    pub questions: Vec<Question>,
}

/// Batches that are made as they are asked for.
pub type Examples<'a> = Box<dyn Iterator<Item = Example> + 'a>;

/// A task.
pub trait Task {
    /// What it is, as the heading of a figure says it.
    fn title(&self) -> &'static str;

    /// Number of inputs.
    fn inputs(&self) -> usize;

    /// Number of outputs.
    fn outputs(&self) -> usize;

    /// The batch of an iteration, counted from 1. It follows from the run's seed, the iteration and the
    /// [statistics](Self::statistics).
    fn example(&self, iteration: usize) -> Example;

    /// Hears what [`score`](Self::score) the last batch got while it was learnt from.
    fn observe(&mut self, _score: f64) {}

    /// How far the training has come, for tasks that grow with it.
    fn progress(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// What must be kept of the training to go on with it, and to see other data as the network saw those, as TOML.
    fn statistics(&self) -> Option<String> {
        None
    }

    /// Goes on from the statistics of a checkpoint.
    ///
    /// # Errors
    ///
    /// If they are damaged, or those of other data.
    fn restore(&mut self, statistics: Option<&str>) -> Result<()> {
        let same = self.statistics().as_deref() == statistics;
        ensure!(same, "the data are not those with which the run began");
        Ok(())
    }

    /// All batches of a part of the data, one after the other, in an order that does not change.
    ///
    /// # Errors
    ///
    /// If there are none, or data are missing or damaged.
    fn batches(&self, split: SplitName) -> Result<Examples<'_>>;

    /// Names of the classes, in tasks that have some.
    fn classes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Names of what is told apart in the end, and which of them a class is; by default, the classes.
    fn judged(&self) -> (Vec<String>, fn(usize) -> usize) {
        (self.classes(), |class| class)
    }

    /// What [`score`](Self::score) is: `accuracy`, `bits` or `nmse`.
    fn score_name(&self) -> &'static str {
        "accuracy"
    }

    /// How good outputs [batch, time, outputs] are; by default, the share of right decisions.
    fn score(&self, outputs: &Tensor<3>, example: &Example) -> f64 {
        accuracy(&decide(outputs, &example.questions), &example.questions, self.judged().1)
    }

    /// The inputs of a sequence; by default, as spikes.
    fn input_panel(&self, shown: &Shown) -> Panel {
        let Shown { inputs, dt_ms, .. } = shown;
        Panel::Raster(Raster::from_steps("Inputs", "input", *dt_ms, &inputs.values, inputs.count as u32))
    }

    /// The outputs of a sequence; by default, that of the class of the last step that counts, and the largest other.
    fn output_panels(&self, shown: &Shown) -> Vec<Panel> {
        let Shown { outputs, targets, mask, dt_ms, .. } = shown;
        let last = mask.iter().rposition(|&counts| counts > 0.0).unwrap_or(0);
        let row = targets.row(last);
        let class = (0..row.len()).find(|&class| row[class] == 1.0).unwrap_or(0);
        let largest_other = |row: &[f32]| {
            let others = row.iter().enumerate().filter(|(other, _)| *other != class);
            others.map(|(_, &output)| output).fold(f32::NEG_INFINITY, f32::max)
        };
        let other: Vec<f32> = outputs.rows().map(largest_other).collect();
        let name = self.classes().get(class).cloned().unwrap_or_default();
        let series = vec![
            Series::sampled(format!("the class, {name}"), *dt_ms, &outputs.column(class)),
            Series::sampled("the largest other", *dt_ms, &other).dashed(),
        ];
        vec![Panel::Lines(Lines::new("Outputs", "y", series))]
    }
}

/// Numbers of a sequence, [time, feature].
#[derive(Debug, Clone)]
pub struct Values {
    /// Row by row.
    pub values: Vec<f32>,
    /// Features.
    pub count: usize,
}

impl Values {
    /// A step.
    pub fn row(&self, step: usize) -> &[f32] {
        &self.values[step * self.count..][..self.count]
    }

    /// All steps.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks(self.count)
    }

    /// A feature in all steps.
    pub fn column(&self, feature: usize) -> Vec<f32> {
        self.values.iter().skip(feature).step_by(self.count).copied().collect()
    }
}

impl From<&Tensor<3>> for Values {
    /// Of one sequence.
    fn from(tensor: &Tensor<3>) -> Self {
        Self { values: values(tensor), count: tensor.dims()[2] }
    }
}

/// A sequence, and what a network makes of it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// x.
    pub inputs: Values,
    /// y.
    pub outputs: Values,
    /// y*.
    pub targets: Values,
    /// By how much each step counts.
    pub mask: Vec<f32>,
    /// Duration of a step.
    pub dt_ms: f64,
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
        TaskName::EvidenceAccumulation => Box::new(EvidenceAccumulationTask::new(config, device)?),
        TaskName::PatternGeneration => Box::new(PatternGeneration::new(config, device)?),
        TaskName::SequentialImages
        | TaskName::Shd
        | TaskName::SpeechCommands
        | TaskName::SpokenDigits
        | TaskName::Timit => Box::new(RecordedTask::train(config, device)?),
        TaskName::StoreRecall => Box::new(StoreRecallTask::new(config, device)?),
        TaskName::DelayedChoice | TaskName::MemoryMaze => bail!("tasks with rewards have no targets"),
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
        TaskName::SequentialImages
        | TaskName::Shd
        | TaskName::SpeechCommands
        | TaskName::SpokenDigits
        | TaskName::Timit => Box::new(RecordedTask::evaluate(config, &statistics, device)?),
        _ => train(config, device)?,
    })
}

/// Sequences that are drawn, so that no split of them ends.
const DRAWN: usize = 1024;

/// Batches of a split of a task that draws its sequences: as many as it takes for [`DRAWN`] sequences.
fn drawn_batches<'a>(
    split: SplitName,
    batch: usize,
    example: impl Fn(Stream, u64) -> Example + 'a,
) -> Result<Examples<'a>> {
    let stream = match split {
        SplitName::Train => Stream::Training,
        SplitName::Validation => Stream::Validation,
        SplitName::Test => Stream::Test,
        SplitName::All => {
            bail!("the task draws its sequences, so that there is no end of all; use --split test")
        }
    };
    Ok(Box::new((1..=DRAWN.div_ceil(batch) as u64).map(move |number| example(stream, number))))
}

/// One row of `width` for each class, in which it is 1, for so many steps each.
fn one_hot(classes: impl IntoIterator<Item = usize>, width: usize, steps: usize) -> Vec<f32> {
    let row = |class: usize| (0..width).map(move |index| f32::from(u8::from(index == class)));
    classes.into_iter().flat_map(|class| repeat_n(class, steps).flat_map(row)).collect()
}

/// A tensor of these values.
pub(crate) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Values of a tensor.
pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().convert::<f32>().try_into_vec::<f32>().expect("converted to f32")
}
