//! Copy-repeat: a stage of the curriculum at a time.

use anyhow::{Context, Result, ensure};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use burn_eprop::Batch;
use eprop_tasks::copy_repeat::{CopyRepeatConfig, Stage};
use eprop_tasks::plot::{Lines, Panel};
use serde::{Deserialize, Serialize};

use super::{Example, Examples, Shown, Task, tensor, values};
use crate::cli::SplitName;
use crate::config::RunConfig;
use crate::random::{Stream, generator};
use crate::run_folder;

/// How far the curriculum has come.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    stage: Stage,
    solved: Option<Stage>,
}

/// Sequences of random bits, at the stage that the network has reached.
#[derive(Debug)]
pub struct CopyRepeatTask {
    settings: CopyRepeatConfig,
    progress: Progress,
    batch: usize,
    seed: u64,
    device: Device,
}

impl CopyRepeatTask {
    /// At the first stage.
    ///
    /// # Errors
    ///
    /// If the settings are out of range.
    pub fn train(config: &RunConfig, device: &Device) -> Result<Self> {
        let settings = config.copy_repeat.clone().context("the settings lack [copy_repeat]")?;
        settings.validate().context("[copy_repeat]")?;
        let progress = Progress { stage: settings.first(), solved: None };
        let (batch, seed) = (config.batch, config.seed);
        settings.check_size(progress.stage, batch).context("[copy_repeat]")?;
        Ok(Self { settings, progress, batch, seed, device: device.clone() })
    }

    /// Where a run has come to.
    ///
    /// # Errors
    ///
    /// As [`train`](Self::train); also if the run's progress is missing or damaged.
    pub fn evaluate(config: &RunConfig, statistics: &std::path::Path, device: &Device) -> Result<Self> {
        let progress = run_folder::read_toml(statistics)?;
        let task = Self::train(config, device)?;
        task.check(progress).with_context(|| statistics.display().to_string())?;
        Ok(Self { progress, ..task })
    }

    /// A damaged file may say that the curriculum has come further than memory goes.
    fn check(&self, Progress { stage, solved }: Progress) -> Result<()> {
        for stage in [Some(stage), solved].into_iter().flatten() {
            ensure!(stage.patterns > 0 && stage.repeats > 0, "a stage without patterns or repeats");
            self.settings.check_size(stage, self.batch)?;
        }
        Ok(())
    }

    /// Sequences of a stage as a batch.
    fn draw(&self, stage: Stage, stream: Stream, number: u64) -> Example {
        let drawn = self.settings.draw(stage, self.batch, &mut generator(self.seed, stream, number));
        let (batch, steps) = (self.batch, drawn.steps);
        let inputs = tensor(drawn.inputs, [batch, steps, self.inputs()], &self.device);
        let targets = tensor(drawn.targets, [batch, steps, self.outputs()], &self.device);
        let mask = tensor(drawn.mask, [batch, steps], &self.device);
        Example { batch: Batch::new(inputs, targets).with_mask(mask), questions: Vec::new() }
    }
}

impl Task for CopyRepeatTask {
    fn title(&self) -> &'static str {
        "Copy-repeat"
    }

    fn inputs(&self) -> usize {
        self.settings.inputs()
    }

    fn outputs(&self) -> usize {
        self.settings.outputs()
    }

    fn example(&self, iteration: usize) -> Example {
        self.draw(self.progress.stage, Stream::Training, iteration as u64)
    }

    /// Raises the stage where it is solved, as far as memory goes.
    fn observe(&mut self, score: f64) {
        let Progress { stage, .. } = self.progress;
        if score < self.settings.criterion_bits {
            let fits = self.settings.check_size(stage.next(), self.batch).is_ok();
            self.progress = Progress { stage: if fits { stage.next() } else { stage }, solved: Some(stage) };
        }
    }

    fn progress(&self) -> Vec<(&'static str, f64)> {
        let Progress { stage, solved } = self.progress;
        let (patterns, repeats, steps) =
            solved.map_or((0, 0, 0), |solved| (solved.patterns, solved.repeats, solved.steps()));
        let columns = [
            ("patterns", stage.patterns),
            ("repeats", stage.repeats),
            ("solved_patterns", patterns),
            ("solved_repeats", repeats),
            ("solved_characters", patterns * repeats),
            ("solved_steps", steps),
        ];
        columns.map(|(name, number)| (name, number as f64)).into()
    }

    fn statistics(&self) -> Option<String> {
        Some(toml::to_string(&self.progress).expect("numbers"))
    }

    /// The stage of a checkpoint.
    fn restore(&mut self, statistics: Option<&str>) -> Result<()> {
        let statistics = statistics.context("the curriculum's progress is missing")?;
        let progress = toml::from_str(statistics).context("the curriculum's progress is damaged")?;
        self.check(progress).context("the curriculum's progress")?;
        self.progress = progress;
        Ok(())
    }

    /// New sequences of the last stage that was solved, or of the first: the same in each call.
    fn batches(&self, split: SplitName) -> Result<Examples<'_>> {
        let (stream, number) = match split {
            // Iterations are counted from 1.
            SplitName::Train => (Stream::Training, 0),
            SplitName::Validation => (Stream::Validation, 1),
            SplitName::Test => (Stream::Test, 1),
            SplitName::All => (Stream::Test, 2),
        };
        let stage = self.progress.solved.unwrap_or_else(|| self.settings.first());
        self.settings.check_size(stage, self.batch).context("the run's stage")?;
        Ok(Box::new([self.draw(stage, stream, number)].into_iter()))
    }

    fn score_name(&self) -> &'static str {
        "bits"
    }

    /// The cross-entropy in bits, the mean over output bits and the steps that count.
    fn score(&self, outputs: &Tensor<3>, example: &Example) -> f64 {
        let probabilities = values(&sigmoid(outputs.clone()));
        let targets = values(example.batch.targets());
        let mask = values(&example.batch.weights());
        let count = self.settings.outputs();
        let mut bits = 0.0;
        let rows = probabilities.chunks(count).zip(targets.chunks(count)).zip(&mask);
        for ((probabilities, targets), _) in rows.filter(|(_, mask)| **mask > 0.0) {
            for (&probability, &target) in probabilities.iter().zip(targets) {
                let hit = if target > 0.5 { probability } else { 1.0 - probability };
                bits -= f64::from(hit.max(f32::MIN_POSITIVE)).log2();
            }
        }
        bits / (count as f64 * f64::from(mask.iter().sum::<f32>()))
    }

    /// The first bits.
    fn output_panels(&self, shown: &Shown) -> Vec<Panel> {
        let panel = |bit: usize| {
            let logits = shown.outputs.column(bit);
            let probability: Vec<f32> = logits.iter().map(|y| 1.0 / (1.0 + (-y).exp())).collect();
            let (title, target) = (format!("Bit {bit}"), shown.targets.column(bit));
            let lines = Lines::output_and_target(title, "probability", shown.dt_ms, &probability, &target);
            Panel::Lines(lines)
        };
        (0..shown.outputs.count.min(3)).map(panel).collect()
    }
}
