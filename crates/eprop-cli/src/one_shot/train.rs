//! The outer loop: a batch of tasks in each iteration.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow, ensure};
use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::{
    ModuleLearningRate, ModuleLrScheduler, ModuleLrSchedulerConfig,
};
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
use super::model::{self, WithMetaLearner, with_meta_learner};
use super::plots;
use crate::checkpoint::Checkpoint;
use crate::cli::TrainArgs;
use crate::divergence::DIVERGED;
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::task::values;
use crate::train::{CONFIG, EVALUATION, Ending, Lesson, Run};

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
    let device = config.device.open_with(config.threads)?;
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
    let device = config.device.open_with(config.threads)?;
    let checkpoint = Checkpoint::last(&folder, config.iterations)?;
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
    let run = Run::new(config.iterations, config.checkpoint_seconds, folder, checkpoint, interrupted);
    run.check_weights(model::weights(config, &family))?;
    let training = Training { run, config, family: &family, device };
    with_meta_learner(config, &family, &device.clone().autodiff(), training)
}

struct Training<'a> {
    run: Run<'a>,
    config: &'a OneShotConfig,
    family: &'a Family,
    device: &'a Device,
}

impl WithMetaLearner for Training<'_> {
    type Output = Ending;

    fn run<C: Cell>(self, meta: MetaLearner<C, C>, rule: OneShot<C>) -> Result<Ending> {
        let Self { run, config, family, device } = self;
        let (meta, optimizer) = run.restore(meta, AdamConfig::new().init())?;
        let meta = with_frozen_parts(config, meta);
        let scheduler = scheduler(config, &meta)?;
        let lesson = OuterLoop { config, folder: run.folder, family, device, rule, optimizer };
        run.go(meta, scheduler, lesson)
    }
}

/// What is not to change does not.
fn with_frozen_parts<C: Cell>(config: &OneShotConfig, meta: MetaLearner<C, C>) -> MetaLearner<C, C> {
    let MetaLearner { learner, module, log_rates } = meta;
    MetaLearner {
        learner,
        module: if config.signal.trains_module() { module } else { module.no_grad() },
        log_rates: match config.update.outer_lr_factor {
            0.0 => log_rates.no_grad(),
            _ => log_rates,
        },
    }
}

fn scheduler<C: Cell>(config: &OneShotConfig, meta: &MetaLearner<C, C>) -> Result<ModuleLrScheduler> {
    let OneShotConfig { lr, final_lr, iterations, update, .. } = config;
    let cosine = |factor: f64| -> LrSchedulerConfig {
        CosineAnnealingLrSchedulerConfig::new(lr * factor, *iterations).with_min_lr(final_lr * factor).into()
    };
    let mut config = ModuleLrSchedulerConfig::new(cosine(1.0));
    if update.outer_lr_factor != 0.0 {
        let rates = ParamGroup::ids_from_module(meta.log_rates.clone());
        config = config.with_group(rates, cosine(update.outer_lr_factor));
    }
    config.init().map_err(|reason| anyhow!("lr is {lr}: {reason}"))
}

struct OuterLoop<'a, C: Cell> {
    config: &'a OneShotConfig,
    folder: &'a RunFolder,
    family: &'a Family,
    device: &'a Device,
    rule: OneShot<C>,
    optimizer: ModuleOptimizer,
}

impl<C: Cell> Lesson<MetaLearner<C, C>> for OuterLoop<'_, C> {
    fn columns(&self) -> Vec<String> {
        COLUMNS.map(str::to_owned).to_vec()
    }

    fn learn(
        &mut self,
        iteration: usize,
        learning_rate: ModuleLearningRate,
        meta: MetaLearner<C, C>,
        _metrics: &Table,
    ) -> (MetaLearner<C, C>, Result<Vec<f64>>) {
        let (config, family) = (self.config, self.family);
        let tasks = family.draw(config.batch, config.seed, iteration as u64, config.signal, self.device);
        let loss = |outputs| family.loss(outputs, &tasks);
        let mut estimate = self.rule.estimate(&meta, &tasks.training, tasks.test_inputs.clone(), loss);
        let found = std::mem::take(&mut estimate.gradients);
        let norm = match finite_norm(&meta, &estimate, &found) {
            Ok(norm) => norm,
            Err(error) => return (meta, Err(error)),
        };
        let found = match config.clip_norm {
            Some(limit) if norm > limit => gradients::scale(&meta, found, limit / norm),
            _ => found,
        };
        let row = self.row(iteration, &meta, &tasks, &estimate, [norm, learning_rate.base()]);
        (self.optimizer.step(learning_rate, meta, found), Ok(row))
    }

    fn optimizer(&self) -> &ModuleOptimizer {
        &self.optimizer
    }

    fn conclude(&self, meta: &MetaLearner<C, C>, metrics: &Table) -> Result<Vec<String>> {
        let Self { config, folder, family, device, rule, .. } = self;
        let tasks = HELD_OUT_TASKS.min(config.batch * metrics.len());
        let report = Report::measure(meta, rule, config, family, tasks, device)?;
        let json = serde_json::to_string_pretty(&report.to_json()).expect("numbers");
        folder.write(EVALUATION, json.as_bytes())?;
        plots::draw(meta, rule, config, family, metrics, folder, device).context("the plots")?;
        let mut said = report.to_lines();
        let shown = folder.path().display();
        said.push(format!("plots: {shown}/{}", plots::files(config.task).join(&format!(", {shown}/"))));
        Ok(said)
    }
}

/// The norm of all gradients together, if they and the losses are finite.
fn finite_norm<C: Cell>(
    meta: &MetaLearner<C, C>,
    estimate: &MetaEstimate,
    found: &GradientsParams,
) -> Result<f64> {
    let loss = estimate.loss + estimate.rate_loss;
    ensure!(loss.is_finite(), "the loss is {loss}: {DIVERGED}");
    gradients::global_norm(meta, found).map_err(|error| anyhow!("{error}: {DIVERGED}"))
}

impl<C: Cell> OuterLoop<'_, C> {
    fn row(
        &self,
        iteration: usize,
        meta: &MetaLearner<C, C>,
        tasks: &Tasks,
        estimate: &MetaEstimate,
        [gradient_norm, learning_rate]: [f64; 2],
    ) -> Vec<f64> {
        let error = |outputs: &Tensor<3>| {
            let achieved = self.family.achieved(outputs.clone());
            self.family.error(achieved, tasks).into_scalar::<f64>()
        };
        let hz = |rates: &[Tensor<1>]| match rates {
            [] => 0.0,
            rates => 1000.0 / self.config.dt_ms() * mean_firing_rate(rates),
        };
        let rates = values(&meta.log_rates.val());
        vec![
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
}
