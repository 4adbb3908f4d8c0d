//! `eprop train`: what all runs have in common. What they do in an iteration is a `Lesson`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Error, Result, anyhow, ensure};
use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;

use crate::checkpoint::{CHECKPOINT, Checkpoint};
use crate::cli::TrainArgs;
use crate::config::{RunConfig, read_table};
use crate::model::to_bytes;
use crate::progress::Progress;
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::task::STATISTICS;
use crate::{align, one_shot, output, reward, sequence};

/// Name of a run's file with its settings.
pub const CONFIG: &str = "config.toml";
/// Name of a run's file with its network.
pub const MODEL: &str = "model.bpk";
/// Name of a run's file with a row for each iteration.
pub const METRICS: &str = "metrics.csv";
/// Name of a run's file with the metrics of the trained network.
pub const EVALUATION: &str = "evaluation.json";
/// Name in it of the iteration at which the task was solved.
pub const SOLVED_AT: &str = "solved_at";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All iterations were done.
    Complete,
    /// It was interrupted, and saved.
    Interrupted,
}

/// Trains a network, and leaves a run folder.
///
/// # Errors
///
/// If settings, data or the folder are unusable, or a value becomes NaN or infinite.
pub fn run(args: &TrainArgs, interrupted: &AtomicBool) -> Result<Ending> {
    if let Some(path) = &args.resume {
        return resume(path, interrupted);
    }
    if let Some(task) = one_shot::config::asked_for(args)? {
        return one_shot::train(task, args, interrupted);
    }
    start(&RunConfig::resolve(args)?, args.out.as_deref(), interrupted)
}

/// Begins a run with settings of its own, in the folder `out` or a new one.
pub(crate) fn start(config: &RunConfig, out: Option<&Path>, interrupted: &AtomicBool) -> Result<Ending> {
    let device = config.device.open()?;
    let create = || -> Result<RunFolder> {
        let folder = RunFolder::create(out, &name(config))?;
        folder.write(CONFIG, config.to_toml().as_bytes())?;
        Ok(folder)
    };
    begin(config, create, None, &device, interrupted)
}

/// Goes on with a run from its last checkpoint, as if it had never been interrupted.
///
/// # Errors
///
/// If files of the run are damaged or its data have changed; and those of [`run`].
pub fn resume(path: &Path, interrupted: &AtomicBool) -> Result<Ending> {
    let folder = RunFolder::open(path);
    let settings = read_table(&folder.file(CONFIG))?;
    let folder = folder.locked()?;
    if one_shot::config::task_of(&settings).is_some() {
        return one_shot::resume(folder, interrupted);
    }
    let config = RunConfig::read(&folder.file(CONFIG))?;
    let device = config.device.open()?;
    let checkpoint = Checkpoint::last(&folder, config.iterations)?;
    begin(&config, || Ok(folder), checkpoint, &device, interrupted)
}

/// Looks at task and data before there is a folder.
fn begin(
    config: &RunConfig,
    folder: impl FnOnce() -> Result<RunFolder>,
    checkpoint: Option<Checkpoint>,
    device: &Device,
    interrupted: &AtomicBool,
) -> Result<Ending> {
    let run = |folder, checkpoint| {
        let RunConfig { iterations, checkpoint_seconds, .. } = *config;
        Run { iterations, checkpoint_seconds, folder, interrupted, checkpoint }
    };
    if config.task.has_rewards() {
        return reward::train(run(&folder()?, checkpoint), config, device);
    }
    let task = sequence::task(config, checkpoint.as_ref(), device)?;
    sequence::train(run(&folder()?, checkpoint), config, task, device)
}

fn name(config: &RunConfig) -> String {
    let table = toml::Table::try_from(config).expect("settings are plain values");
    let name = |key: &str| table[key].as_str().unwrap_or_default().to_owned();
    format!("{}-{}-{}", name("task"), name("cell"), name("method"))
}

/// Why an iteration was not done.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether the model has changed: it is no longer that of the iteration before.
    pub(crate) midway: bool,
}

/// What a run does in an iteration, and what it tells at the end.
pub(crate) trait Lesson<M: Module> {
    /// What is measured in each iteration.
    fn columns(&self) -> Vec<String>;

    /// Learns in an iteration, counted from 1. Returns the model and what was measured, or why it was not done.
    fn learn(
        &mut self,
        iteration: usize,
        learning_rate: ModuleLearningRate,
        model: M,
        metrics: &Table,
    ) -> (M, Result<Vec<f64>, Failure>);

    /// The optimizer.
    fn optimizer(&self) -> &ModuleOptimizer;

    /// What must be kept beside the model, as TOML.
    fn statistics(&self) -> Option<String> {
        None
    }

    /// Whether there is no need to go on.
    fn is_over(&self, _metrics: &Table) -> bool {
        false
    }

    /// Evaluates the model, draws plots, and returns what a person is told.
    fn conclude(&self, model: &M, metrics: &Table) -> Result<Vec<String>>;
}

/// A run: how far it is to go, its folder, and where it goes on from.
pub(crate) struct Run<'a> {
    pub(crate) iterations: usize,
    /// A checkpoint is written at least this often.
    pub(crate) checkpoint_seconds: f64,
    pub(crate) folder: &'a RunFolder,
    pub(crate) interrupted: &'a AtomicBool,
    pub(crate) checkpoint: Option<Checkpoint>,
}

impl Run<'_> {
    /// Fills model and optimizer from the checkpoint, if there is one.
    pub(crate) fn restore<M: Module>(
        &self,
        model: M,
        optimizer: ModuleOptimizer,
    ) -> Result<(M, ModuleOptimizer)> {
        let Some(checkpoint) = &self.checkpoint else {
            return Ok((model, optimizer));
        };
        let file = self.folder.file(CHECKPOINT);
        checkpoint.restore(model, optimizer).with_context(|| file.display().to_string())
    }

    /// Checks that the checkpoint, if there is one, may be of a model of so many weights, before such a model is built.
    pub(crate) fn check_weights(&self, weights: usize) -> Result<()> {
        let checked = self.checkpoint.as_ref().map_or(Ok(()), |checkpoint| checkpoint.check_weights(weights));
        checked.with_context(|| self.folder.file(CHECKPOINT).display().to_string())
    }

    /// Goes through all iterations that have not been done.
    pub(crate) fn go<M: Module>(
        mut self,
        mut model: M,
        mut scheduler: ModuleLrScheduler,
        mut lesson: impl Lesson<M>,
    ) -> Result<Ending> {
        let mut metrics = Table::new(lesson.columns());
        if let Some(checkpoint) = self.checkpoint.take() {
            let fits = metrics.columns() == checkpoint.metrics.columns();
            ensure!(fits, "the checkpoint of {} is not that of its settings", self.folder.path().display());
            metrics = checkpoint.metrics;
        }
        // What was reached before is no longer so.
        self.folder.remove(EVALUATION)?;
        (0..metrics.len()).for_each(|_| drop(scheduler.step()));
        let mut progress = Progress::new(self.iterations);
        let started = Instant::now();
        let mut saved = Instant::now();
        let mut ending = Ending::Complete;
        for iteration in metrics.len() + 1..=self.iterations {
            if lesson.is_over(&metrics) {
                break;
            }
            let (updated, row) = lesson.learn(iteration, scheduler.step(), model, &metrics);
            model = updated;
            match row {
                Ok(row) => metrics.push(row),
                Err(failure) => {
                    progress.finish();
                    return Err(self.broken_off(&model, &lesson, &metrics, failure));
                }
            }
            progress.update(iteration, || message(&metrics));
            if self.interrupted.load(Ordering::Relaxed) && iteration < self.iterations {
                ending = Ending::Interrupted;
                break;
            }
            if saved.elapsed().as_secs_f64() >= self.checkpoint_seconds {
                self.save(&model, &lesson, &metrics)?;
                saved = Instant::now();
            }
        }
        progress.finish();
        self.save(&model, &lesson, &metrics)?;
        let seconds = started.elapsed().as_secs_f64();
        // Who interrupts a run does not want to wait.
        let said = match ending {
            Ending::Interrupted => Vec::new(),
            Ending::Complete => lesson
                .conclude(&model.valid(), &metrics)
                .with_context(|| format!("the run in {}", self.folder.path().display()))?,
        };
        self.tell(&metrics, seconds, ending, said)?;
        Ok(ending)
    }

    /// Saves what was reached before an iteration that failed, if the model is still that.
    fn broken_off<M: Module>(
        &self,
        model: &M,
        lesson: &impl Lesson<M>,
        metrics: &Table,
        Failure { error, midway }: Failure,
    ) -> Error {
        let (iteration, folder) = (metrics.len() + 1, self.folder.path().display());
        if midway {
            return anyhow!("iteration {iteration}: {error:#}; the last checkpoint is in {folder}");
        }
        let error = anyhow!("iteration {iteration}: {error:#}; the run up to there is in {folder}");
        match self.save(model, lesson, metrics) {
            Ok(()) => error,
            Err(unsaved) => error.context(unsaved),
        }
    }

    /// The checkpoint goes first: from it, the other files can be had again.
    fn save<M: Module>(&self, model: &M, lesson: &impl Lesson<M>, metrics: &Table) -> Result<()> {
        let statistics = lesson.statistics();
        let checkpoint = Checkpoint::bytes(model, lesson.optimizer(), metrics, statistics.as_deref())?;
        self.folder.write(CHECKPOINT, &checkpoint)?;
        self.folder.write(MODEL, &to_bytes(model.clone())?)?;
        if let Some(statistics) = statistics {
            self.folder.write(STATISTICS, statistics.as_bytes())?;
        }
        self.folder.write(METRICS, metrics.to_csv().as_bytes())
    }

    /// Tells a person how it went.
    fn tell(&self, metrics: &Table, seconds: f64, ending: Ending, said: Vec<String>) -> Result<()> {
        let (done, folder) = (metrics.len(), self.folder.path().display());
        let verb = if ending == Ending::Complete { "trained" } else { "interrupted after" };
        output::print(format_args!("{verb} {done} iterations in {seconds:.0} s"))?;
        said.into_iter().try_for_each(output::print)?;
        if ending == Ending::Interrupted {
            output::print(format_args!("go on with: eprop train --resume {folder}"))?;
        }
        output::print(format_args!("run folder: {folder} (settings, metrics, model, checkpoint)"))
    }
}

/// What a person sees of the last iteration.
fn message(metrics: &Table) -> String {
    let names = ["iteration", "rate_loss", "voltage_loss", "gradient_norm", "learning_rate"];
    let hidden =
        |column: &str| names.contains(&column) || align::is_column(column) || column.ends_with("_lr");
    let shown = metrics.columns().iter().filter(|column| !hidden(column));
    let numbers = shown.map(|column| (column, metrics.last(column)));
    let known = numbers.filter(|(_, number)| number.is_finite());
    let parts = known.map(|(column, number)| match column.strip_suffix("_hz") {
        Some(rate) => format!("{} {number:.1} Hz", rate.replace('_', " ")),
        None if number.fract() == 0.0 => format!("{} {number}", column.replace('_', " ")),
        None => format!("{} {number:.4}", column.replace('_', " ")),
    });
    parts.collect::<Vec<_>>().join("  ")
}
