//! Pattern generation: one frozen input, one target.

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Tensor};
use burn_eprop::Batch;
use eprop_tasks::pattern_generation::{Pattern, nmse};
use eprop_tasks::plot::{Lines, Panel};

use super::{Example, Examples, Shown, Task, tensor, values};
use crate::cli::SplitName;
use crate::config::RunConfig;

/// The pattern that the run's seed determines.
#[derive(Debug)]
pub struct PatternGeneration {
    pattern: Pattern,
    example: Example,
}

impl PatternGeneration {
    /// Draws input and target.
    pub fn new(config: &RunConfig, device: &Device) -> Result<Self> {
        let settings = config.pattern_generation.as_ref().context("settings lack [pattern_generation]")?;
        ensure!(
            config.batch == 1,
            "pattern generation has one sequence: batch is {}, but must be 1",
            config.batch
        );
        let pattern = settings.generate(config.seed).context("[pattern_generation]")?;
        let tensor =
            |values: &[f32], features: usize| tensor(values.to_vec(), [1, pattern.steps, features], device);
        let inputs = tensor(&pattern.inputs, pattern.input_count);
        let targets = tensor(&pattern.targets, pattern.output_count);
        let example = Example { batch: Batch::new(inputs, targets), questions: Vec::new() };
        Ok(Self { pattern, example })
    }
}

impl Task for PatternGeneration {
    fn title(&self) -> &'static str {
        "Pattern generation"
    }

    fn inputs(&self) -> usize {
        self.pattern.input_count
    }

    fn outputs(&self) -> usize {
        self.pattern.output_count
    }

    fn example(&self, _iteration: usize) -> Example {
        self.example.clone()
    }

    /// There is one pattern, whatever the split.
    fn batches(&self, _split: SplitName) -> Result<Examples<'_>> {
        Ok(Box::new([self.example.clone()].into_iter()))
    }

    fn score_name(&self) -> &'static str {
        "nmse"
    }

    fn score(&self, outputs: &Tensor<3>, _example: &Example) -> f64 {
        nmse(&values(outputs), &self.pattern.targets, self.pattern.output_count)
    }

    fn output_panels(&self, shown: &Shown) -> Vec<Panel> {
        let panel = |output: usize| {
            let [y, target] = [&shown.outputs, &shown.targets].map(|values| values.column(output));
            let title = format!("Output {output}");
            Panel::Lines(Lines::output_and_target(title, "y", shown.dt_ms, &y, &target))
        };
        (0..shown.outputs.count).map(panel).collect()
    }
}
