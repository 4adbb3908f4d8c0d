//! `eprop train`: what all runs have in common. What they do in an iteration is a `Lesson`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use burn_eprop::record::load_optimizer;

use crate::checkpoint::{CHECKPOINT, Checkpoint};
use crate::cli::TrainArgs;
use crate::config::{RunConfig, read_table};
use crate::divergence::{DIVERGED, ensure_bounded, ensure_finite};
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
    let device = config.device.open_with(config.threads)?;
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
    let device = config.device.open_with(config.threads)?;
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
        Run::new(config.iterations, config.checkpoint_seconds, folder, checkpoint, interrupted)
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

/// What a run does in an iteration, and what it tells at the end.
pub(crate) trait Lesson<M: Module> {
    /// What is measured in each iteration.
    fn columns(&self) -> Vec<String>;

    /// Learns in an iteration, counted from 1. Returns the model and what was measured, or why the iteration was not done; the model may
    /// then have changed midway.
    fn learn(
        &mut self,
        iteration: usize,
        learning_rate: ModuleLearningRate,
        model: M,
        metrics: &Table,
    ) -> (M, Result<Vec<f64>>);

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

/// What a checkpoint holds beside the metrics.
struct State<M> {
    model: M,
    optimizer: ModuleOptimizer,
    statistics: Option<String>,
}

impl<M: Module> State<M> {
    fn of(model: &M, lesson: &impl Lesson<M>) -> Self {
        let optimizer = lesson.optimizer().clone();
        Self { model: model.clone(), optimizer, statistics: lesson.statistics() }
    }

    /// Whether one can go on from it: an optimizer's moments overflow before its weights do.
    fn ensure_readable(&self) -> Result<()> {
        let record = self.optimizer.into_bytes().context("the optimizer's state cannot be written")?;
        let read = load_optimizer(self.optimizer.clone(), &self.model, record.to_vec());
        read.map(drop).map_err(|error| anyhow!("the optimizer's state: {error}: {DIVERGED}"))
    }
}

/// A run: how far it is to go, its folder, and where it goes on from.
pub(crate) struct Run<'a> {
    iterations: usize,
    /// A checkpoint is written at least this often.
    checkpoint_seconds: f64,
    pub(crate) folder: &'a RunFolder,
    interrupted: &'a AtomicBool,
    checkpoint: Option<Checkpoint>,
    /// The iterations that the checkpoint in the folder has behind it.
    saved: Option<usize>,
}

impl<'a> Run<'a> {
    /// A run of so many iterations, with a checkpoint at least every so many seconds, from the beginning or a checkpoint on.
    pub(crate) fn new(
        iterations: usize,
        checkpoint_seconds: f64,
        folder: &'a RunFolder,
        checkpoint: Option<Checkpoint>,
        interrupted: &'a AtomicBool,
    ) -> Self {
        let saved = checkpoint.as_ref().map(|checkpoint| checkpoint.metrics.len());
        Self { iterations, checkpoint_seconds, folder, interrupted, checkpoint, saved }
    }

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

    /// Goes through all iterations that have not been done, and evaluates the network.
    pub(crate) fn go<M: Module>(
        mut self,
        model: M,
        mut scheduler: ModuleLrScheduler,
        mut lesson: impl Lesson<M>,
    ) -> Result<Ending> {
        let mut metrics = Table::new(lesson.columns());
        if let Some(checkpoint) = self.checkpoint.take() {
            let fits = metrics.columns() == checkpoint.metrics.columns();
            ensure!(fits, "the checkpoint of {} is not that of its settings", self.folder.path().display());
            metrics = checkpoint.metrics;
        }
        (0..metrics.len()).for_each(|_| drop(scheduler.step()));
        let mut progress = Progress::new(self.iterations);
        let started = Instant::now();
        let trained = self.iterate(model, &mut scheduler, &mut lesson, &mut metrics, &mut progress);
        progress.finish();
        let model = trained?;
        if !metrics.is_empty() {
            self.save(&State::of(&model, &lesson), &metrics)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        // Who interrupts a run does not want to wait.
        let (ending, said) = match self.interrupted.load(Ordering::Relaxed) {
            true => (Ending::Interrupted, Vec::new()),
            false => {
                let said = lesson.conclude(&model.valid(), &metrics);
                let said = said.with_context(|| format!("the run in {}", self.folder.path().display()));
                (Ending::Complete, said?)
            }
        };
        self.tell(&metrics, seconds, ending, said)?;
        Ok(ending)
    }

    /// The iterations, until all are done, there is no need to go on, or a stop is asked for.
    fn iterate<M: Module>(
        &mut self,
        mut model: M,
        scheduler: &mut ModuleLrScheduler,
        lesson: &mut impl Lesson<M>,
        metrics: &mut Table,
        progress: &mut Progress,
    ) -> Result<M> {
        let mut last_save = Instant::now();
        for iteration in metrics.len() + 1..=self.iterations {
            if self.interrupted.load(Ordering::Relaxed) || lesson.is_over(metrics) {
                break;
            }
            // An iteration that fails takes none before it along, also while there is no checkpoint.
            let before = self.saved.is_none().then(|| State::of(&model, lesson));
            let (updated, row) = lesson.learn(iteration, scheduler.step(), model, metrics);
            model = updated;
            match row.and_then(|row| ensure_good(&model, row, metrics)) {
                Ok(row) => metrics.push(row),
                Err(error) => return Err(self.broken_off(before, metrics, error)),
            }
            progress.update(iteration, || message(metrics));
            if last_save.elapsed().as_secs_f64() >= self.checkpoint_seconds {
                self.save(&State::of(&model, lesson), metrics)?;
                last_save = Instant::now();
            }
        }
        Ok(model)
    }

    /// Why a run does not go on. A checkpoint is left as it is: the iterations after it may have led to the failure.
    fn broken_off<M: Module>(&mut self, before: Option<State<M>>, metrics: &Table, error: Error) -> Error {
        let iteration = metrics.len() + 1;
        let good = before.filter(|before| !metrics.is_empty() && before.ensure_readable().is_ok());
        let saved = good.map_or(Ok(()), |good| self.save(&good, metrics));
        let kept = saved.map_or_else(|unsaved| format!("{unsaved:#}"), |()| self.kept());
        anyhow!("iteration {iteration}: {error:#}; {kept}")
    }

    /// Where to go on from.
    fn kept(&self) -> String {
        match self.saved {
            Some(done) => {
                format!(
                    "the last checkpoint, of iteration {done}, is {}",
                    self.folder.file(CHECKPOINT).display()
                )
            }
            None => format!("there is no checkpoint in {}", self.folder.path().display()),
        }
    }

    /// The checkpoint goes first: from it, the other files can be had again. One that could not be read does not replace one that can.
    fn save<M: Module>(&mut self, state: &State<M>, metrics: &Table) -> Result<()> {
        let State { model, optimizer, statistics } = state;
        if let Err(error) = state.ensure_readable() {
            bail!("after iteration {}: {error:#}; {}", metrics.len(), self.kept());
        }
        let checkpoint = Checkpoint::bytes(model, optimizer, metrics, statistics.as_deref())?;
        // What was reached before is no longer so.
        self.folder.remove(EVALUATION)?;
        self.folder.write(CHECKPOINT, &checkpoint)?;
        self.saved = Some(metrics.len());
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

/// The row of an iteration, if the model that it led to can be gone on with.
fn ensure_good<M: Module>(model: &M, row: Vec<f64>, metrics: &Table) -> Result<Vec<f64>> {
    ensure_finite(model)?;
    ensure_bounded(row[LOSS], metrics)?;
    Ok(row)
}

/// Where a row has its loss.
const LOSS: usize = 1;

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
