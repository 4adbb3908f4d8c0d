//! `eprop eval`.

use anyhow::{Context, Result, ensure};

use crate::cli::{EvalArgs, SplitName};
use crate::config::{RunConfig, read_table};
use crate::method::Model;
use crate::metrics::EvaluationMetrics;
use crate::model::{self, WithModel};
use crate::run_folder::RunFolder;
use crate::task::{self, Task};
use crate::train::{CONFIG, MODEL};
use crate::{one_shot, output, reward};

/// Prints the metrics of a run's network.
///
/// # Errors
///
/// If the run or the data are missing or damaged.
pub fn run(args: &EvalArgs) -> Result<()> {
    let folder = RunFolder::open(&args.run);
    if one_shot::config::task_of(&read_table(&folder.file(CONFIG))?).is_some() {
        return one_shot::evaluate(args);
    }
    let mut config = RunConfig::read(&folder.file(CONFIG))?;
    ensure!(
        args.data.is_none() || config.task.has_data(),
        "--data is not for the task of the run in {}, which draws its own",
        folder.path().display()
    );
    config.data = args.data.clone().or(config.data);
    config.device = args.device.unwrap_or(config.device);
    let device = config.device.open_with(config.threads)?;
    if config.task.has_rewards() {
        return reward::evaluate(args, &config, &device);
    }
    let task = task::evaluate(&config, &folder, &device)?;
    let sizes = [task.inputs(), task.outputs()];
    model::check_file(model::weights(&config, sizes), &folder.file(MODEL))?;
    let evaluation = Evaluation { config: &config, folder: &folder, task, split: args.split };
    let metrics = model::with_model(&config, sizes, &device, evaluation)?;
    match args.json {
        true => output::print(metrics.to_json()),
        false => output::print(metrics.to_line()),
    }
}

struct Evaluation<'a> {
    config: &'a RunConfig,
    folder: &'a RunFolder,
    task: Box<dyn Task>,
    split: SplitName,
}

impl WithModel for Evaluation<'_> {
    type Output = EvaluationMetrics;

    fn run<M: Model>(self, model: M) -> Result<EvaluationMetrics> {
        let model = model::load(model, &self.folder.file(MODEL))?;
        EvaluationMetrics::measure(&model, self.task.as_ref(), self.config, self.split)
            .with_context(|| format!("the run in {}", self.folder.path().display()))
    }
}
