//! The outer loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig};
use burn::module::{Module, ParamGroup};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use burn_eprop::Cell;
use burn_eprop::estimator::mean_firing_rate;
use burn_eprop::gradients;
use burn_eprop::meta::{MetaEstimate, MetaLearner, OneShot};

use super::config::{OneShotConfig, OneShotTask};
use super::eval::Report;
use super::family::{Family, Tasks};
use super::model::{WithMetaLearner, with_meta_learner};
use super::plots;
use crate::checkpoint::{CHECKPOINT, Checkpoint};
use crate::cli::TrainArgs;
use crate::model::to_bytes;
use crate::output;
use crate::progress::Progress;
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::task::values;
use crate::train::{CONFIG, EVALUATION, Ending, METRICS, MODEL};

/// Tasks by which a run is judged at its end.
const HELD_OUT_TASKS: usize = 960;

/// What is measured in each iteration.
const COLUMNS: [&str; 11] = [
    "iteration",
    "loss",
    "rate_loss",
    "error_before",
    "error_after",
    "learner_rate_hz",
    "module_rate_hz",
    "gradient_norm",
    "learning_rate",
    "input_update_lr",
    "recurrent_update_lr",
];

/// Trains learner and error module, and leaves a run folder.
///
/// # Errors
///
/// If settings or the folder are unusable, or a value becomes NaN or infinite.
pub fn train(task: OneShotTask, args: &TrainArgs, interrupted: &AtomicBool) -> Result<Ending> {
    let config = OneShotConfig::resolve(task, args)?;
    let device = config.device.open()?;
    let table = toml::Table::try_from(&config).expect("settings are plain values");
    let name = |key: &str| table[key].as_str().unwrap_or_default();
    let folder = RunFolder::create(args.out.as_deref(), &format!("{}-{}", name("task"), name("signal")))?;
    folder.write(CONFIG, config.to_toml().as_bytes())?;
    run(&config, &folder, None, &device, interrupted)
}

/// Goes on with a run from its last checkpoint, as if it had never been interrupted.
///
/// # Errors
///
/// If files of the run are damaged; and those of [`train`].
pub fn resume(folder: RunFolder, interrupted: &AtomicBool) -> Result<Ending> {
    let config = OneShotConfig::read(&folder.file(CONFIG))?;
    let device = config.device.open()?;
    let checkpoint = Checkpoint::last(&folder, config.iterations)?;
    if checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.metrics.columns() != COLUMNS) {
        bail!("the checkpoint of {} is not that of a one-shot run", folder.path().display());
    }
    folder.remove(EVALUATION)?;
    run(&config, &folder, checkpoint, &device, interrupted)
}

fn run(
    config: &OneShotConfig,
    folder: &RunFolder,
    checkpoint: Option<Checkpoint>,
    device: &Device,
    interrupted: &AtomicBool,
) -> Result<Ending> {
    let family = Family::new(config)?;
    let outer = OuterLoop { config, folder, family: &family, checkpoint, device, interrupted };
    with_meta_learner(config, &family, &device.clone().autodiff(), outer)
}

struct OuterLoop<'a> {
    config: &'a OneShotConfig,
    folder: &'a RunFolder,
    family: &'a Family,
    checkpoint: Option<Checkpoint>,
    device: &'a Device,
    interrupted: &'a AtomicBool,
}

impl WithMetaLearner for OuterLoop<'_> {
    type Output = Ending;

    fn run<C: Cell>(mut self, meta: MetaLearner<C, C>, rule: OneShot<C>) -> Result<Ending> {
        let config = self.config;
        let mut optimizer: ModuleOptimizer = AdamConfig::new().init();
        let mut metrics = Table::new(COLUMNS);
        let mut meta = match self.checkpoint.take() {
            Some(checkpoint) => {
                let file = self.folder.file(CHECKPOINT);
                let (resumed, state) =
                    checkpoint.restore(meta).with_context(|| file.display().to_string())?;
                optimizer = optimizer.load_record(state);
                metrics = checkpoint.metrics;
                resumed
            }
            None => meta,
        };
        meta = self.with_frozen_parts(meta);
        let mut scheduler = self.scheduler(&meta)?;
        (0..metrics.len()).for_each(|_| drop(scheduler.step()));
        let mut progress = Progress::new(config.iterations);
        let started = Instant::now();
        let mut saved = Instant::now();
        let mut ending = Ending::Complete;
        for iteration in metrics.len() + 1..=config.iterations {
            let learning_rate = scheduler.step();
            let lr = learning_rate.base();
            let tasks =
                self.family.draw(config.batch, config.seed, iteration as u64, config.signal, self.device);
            let mut estimate = rule.estimate(&meta, &tasks.training, tasks.test_inputs.clone(), |outputs| {
                self.family.loss(outputs, &tasks)
            });
            let found = std::mem::take(&mut estimate.gradients);
            let norm = match finite_norm(&meta, &estimate, &found) {
                Ok(norm) => norm,
                Err(error) => {
                    progress.finish();
                    let folder = self.folder.path().display();
                    let error = anyhow!("iteration {iteration}: {error}; the run up to there is in {folder}");
                    return match self.save(&meta, &optimizer, &metrics) {
                        Ok(()) => Err(error),
                        Err(unsaved) => Err(error.context(unsaved)),
                    };
                }
            };
            let found = match config.clip_norm {
                Some(limit) if norm > limit => gradients::scale(&meta, found, limit / norm),
                _ => found,
            };
            metrics.push(self.row(iteration, &meta, &tasks, &estimate, [norm, lr]).into());
            meta = optimizer.step(learning_rate, meta, found);
            progress.update(iteration, || message(&metrics));
            if self.interrupted.load(Ordering::Relaxed) {
                ending = Ending::Interrupted;
                break;
            }
            if saved.elapsed().as_secs_f64() >= config.checkpoint_seconds {
                self.save(&meta, &optimizer, &metrics)?;
                saved = Instant::now();
            }
        }
        progress.finish();
        self.save(&meta, &optimizer, &metrics)?;
        self.conclude(&meta.valid(), &rule, &metrics, started.elapsed(), ending)?;
        Ok(ending)
    }
}

/// What a person sees of the last iteration.
fn message(metrics: &Table) -> String {
    let last = |column: &str| metrics.last(column);
    format!(
        "error before {:.4}  after one update {:.4}  rate {:.1} Hz, error module {:.1} Hz",
        last("error_before"),
        last("error_after"),
        last("learner_rate_hz"),
        last("module_rate_hz")
    )
}

/// The norm of all gradients together, if they and the losses are finite.
fn finite_norm<C: Cell>(
    meta: &MetaLearner<C, C>,
    estimate: &MetaEstimate,
    found: &GradientsParams,
) -> Result<f64> {
    ensure!((estimate.loss + estimate.rate_loss).is_finite(), "the loss is not finite");
    Ok(gradients::global_norm(meta, found)?)
}

impl OuterLoop<'_> {
    /// What is not to change does not.
    fn with_frozen_parts<C: Cell>(&self, meta: MetaLearner<C, C>) -> MetaLearner<C, C> {
        let MetaLearner { learner, module, log_rates } = meta;
        MetaLearner {
            learner,
            module: if self.config.signal.trains_module() { module } else { module.no_grad() },
            log_rates: match self.config.update.outer_lr_factor {
                0.0 => log_rates.no_grad(),
                _ => log_rates,
            },
        }
    }

    fn scheduler<C: Cell>(&self, meta: &MetaLearner<C, C>) -> Result<ModuleLrScheduler> {
        let OneShotConfig { lr, final_lr, iterations, update, .. } = self.config;
        let cosine = |factor: f64| -> LrSchedulerConfig {
            CosineAnnealingLrSchedulerConfig::new(lr * factor, *iterations)
                .with_min_lr(final_lr * factor)
                .into()
        };
        let mut config = ModuleLrSchedulerConfig::new(cosine(1.0));
        if update.outer_lr_factor != 0.0 {
            let rates = ParamGroup::ids_from_module(meta.log_rates.clone());
            config = config.with_group(rates, cosine(update.outer_lr_factor));
        }
        config.init().map_err(|reason| anyhow!("lr is {lr}: {reason}"))
    }

    fn row<C: Cell>(
        &self,
        iteration: usize,
        meta: &MetaLearner<C, C>,
        tasks: &Tasks,
        estimate: &MetaEstimate,
        [gradient_norm, learning_rate]: [f64; 2],
    ) -> [f64; COLUMNS.len()] {
        let error = |outputs: &Tensor<3>| {
            let achieved = self.family.achieved(outputs.clone());
            self.family.error(achieved, tasks).into_scalar::<f64>()
        };
        let hz = |rates: &[Tensor<1>]| match rates {
            [] => 0.0,
            rates => 1000.0 / self.config.dt_ms() * mean_firing_rate(rates),
        };
        let rates = values(&meta.log_rates.val());
        [
            iteration as f64,
            estimate.loss,
            estimate.rate_loss,
            error(&estimate.before),
            error(&estimate.after),
            hz(&estimate.firing_rates),
            hz(&estimate.module_firing_rates),
            gradient_norm,
            learning_rate,
            f64::from(rates[0].exp()),
            f64::from(rates[1].exp()),
        ]
    }

    fn save<C: Cell>(
        &self,
        meta: &MetaLearner<C, C>,
        optimizer: &ModuleOptimizer,
        metrics: &Table,
    ) -> Result<()> {
        self.folder.write(CHECKPOINT, &Checkpoint::bytes(meta, optimizer, metrics, None)?)?;
        self.folder.write(MODEL, &to_bytes(meta.clone())?)?;
        self.folder.write(METRICS, metrics.to_csv().as_bytes())
    }

    /// Plots, and the summary.
    fn conclude<C: Cell>(
        &self,
        meta: &MetaLearner<C, C>,
        rule: &OneShot<C>,
        metrics: &Table,
        elapsed: Duration,
        ending: Ending,
    ) -> Result<()> {
        let tasks = HELD_OUT_TASKS.min(self.config.batch * metrics.len());
        // Who interrupts a run does not want to wait.
        let extent = (tasks, ending == Ending::Complete);
        let report = Report::measure(meta, rule, self.config, self.family, extent, self.device)
            .with_context(|| format!("the run in {}", self.folder.path().display()))?;
        let json = serde_json::to_string_pretty(&report.to_json()).expect("numbers");
        self.folder.write(EVALUATION, json.as_bytes())?;
        plots::draw(meta, rule, self.config, self.family, metrics, self.folder, self.device)
            .context("the plots")?;
        let (done, folder) = (metrics.len(), self.folder.path().display());
        let verb = if ending == Ending::Complete { "trained" } else { "interrupted after" };
        output::print(format_args!("{verb} {done} iterations, in {:.0} s", elapsed.as_secs_f64()))?;
        report.print()?;
        if ending == Ending::Interrupted {
            output::print(format_args!("go on with: eprop train --resume {folder}"))?;
        }
        output::print(format_args!("run folder: {folder} (settings, metrics, model, checkpoint)"))?;
        let plots = plots::files(self.config.task).join(&format!(", {folder}/"));
        output::print(format_args!("plots: {folder}/{plots}"))
    }
}
