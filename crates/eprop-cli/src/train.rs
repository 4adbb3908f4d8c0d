//! `eprop train`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use burn::grad_clipping::GradientClippingConfig;
use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig};
use burn::module::{Module, ParamGroup};
use burn::optim::{AdamConfig, ModuleOptimizer, SgdConfig};
use burn_eprop::estimator::mean_firing_rate;
use burn_eprop::hook::Report;
use burn_eprop::{Cell, Network, OptimizerHook};

use crate::cli::{SplitName, TrainArgs};
use crate::config::{OptimizerName, RunConfig, Schedule, Update};
use crate::method::{Method, MethodState, learn};
use crate::metrics::{EvaluationMetrics, TrainingMetrics, to_csv};
use crate::model::{self, WithNetwork};
use crate::progress::Progress;
use crate::run_folder::RunFolder;
use crate::task::{self, Example, Task};
use crate::{one_shot, output, plots};

/// Name of a run's file with its settings.
pub const CONFIG: &str = "config.toml";
/// Name of a run's file with its network.
pub const MODEL: &str = "model.bpk";
/// Name of a run's file with a row for each iteration.
pub const METRICS: &str = "metrics.csv";
/// Name of a run's file with the metrics of the trained network.
pub const EVALUATION: &str = "evaluation.json";
/// Model and metrics are saved this often.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All iterations were done.
    Complete,
    /// It was interrupted, and saved.
    Interrupted,
}

/// Trains a network and leaves a run folder.
///
/// # Errors
///
/// If settings, data or the folder are unusable, or a value becomes NaN or infinite.
pub fn run(args: &TrainArgs, interrupted: &AtomicBool) -> Result<Ending> {
    if let Some(path) = &args.resume {
        return one_shot::resume(path, interrupted);
    }
    if let Some(task) = one_shot::config::asked_for(args)? {
        return one_shot::train(task, args, interrupted);
    }
    let config = RunConfig::resolve(args)?;
    let device = config.device.open()?;
    let task = task::train(&config, &device)?;
    let (inputs, outputs) = (task.inputs(), task.outputs());
    let name = name(&config);
    let folder = RunFolder::create(args.out.as_deref(), &name)?;
    folder.write(CONFIG, config.to_toml().as_bytes())?;
    if let Some(statistics) = task.statistics() {
        folder.write(task::STATISTICS, statistics.as_bytes())?;
    }
    let training = Training { config: &config, folder: &folder, interrupted, task };
    model::with_network(&config, inputs, outputs, &device.autodiff(), training)
}

fn name(config: &RunConfig) -> String {
    let table = toml::Table::try_from(config).expect("settings are plain values");
    let name = |key: &str| table[key].as_str().unwrap_or_default().to_owned();
    format!("{}-{}-{}", name("task"), name("cell"), name("method"))
}

struct Training<'a> {
    config: &'a RunConfig,
    folder: &'a RunFolder,
    interrupted: &'a AtomicBool,
    task: Box<dyn Task>,
}

impl WithNetwork for Training<'_> {
    type Output = Ending;

    fn run<C: Cell>(mut self, mut network: Network<C>) -> Result<Ending> {
        let mut hook = self.hook(&network)?;
        let mut scheduler = self.scheduler(&network)?;
        let mut progress = Progress::new(self.config.iterations);
        let mut rows = Vec::new();
        let started = Instant::now();
        let mut saved = Instant::now();
        let mut ending = Ending::Complete;
        for iteration in 1..=self.config.iterations {
            let example = self.task.next();
            let learning_rate = scheduler.step();
            let lr = learning_rate.base();
            let windows = (self.config.update == Update::Window).then_some(self.config.chunk);
            let (updated, report) = learn(&mut hook, learning_rate, network, &example.batch, windows);
            network = updated;
            if let Some(error) = &report.non_finite {
                progress.finish();
                self.save(&network, &rows)?;
                let folder = self.folder.path().display();
                return Err(anyhow!("iteration {iteration}: {error}; the run up to there is in {folder}"));
            }
            let row = self.row(iteration, lr, &report, &example);
            progress.update(iteration, || self.message(&row));
            rows.push(row);
            if self.interrupted.load(Ordering::Relaxed) {
                ending = Ending::Interrupted;
                break;
            }
            if saved.elapsed() >= SAVE_INTERVAL {
                self.save(&network, &rows)?;
                saved = Instant::now();
            }
        }
        progress.finish();
        self.save(&network, &rows)?;
        self.conclude(&network.valid(), &rows, started.elapsed(), ending)?;
        Ok(ending)
    }
}

impl Training<'_> {
    fn hook<C: Cell>(&self, network: &Network<C>) -> Result<OptimizerHook<Method, MethodState>> {
        let config = self.config;
        let clipping = config.clip_norm.map(|norm| GradientClippingConfig::Norm(norm as f32));
        let optimizer: ModuleOptimizer = match config.optimizer {
            OptimizerName::Sgd => SgdConfig::new().with_gradient_clipping(clipping).init(),
            OptimizerName::Adam => AdamConfig::new().with_grad_clipping(clipping).init(),
        };
        let signal = config.signal.create(config.signal_decay)?;
        let learning = config.synthetic.learning();
        let method = Method::new(config.method, signal, learning, Some(config.chunk), config.objective());
        Ok(OptimizerHook::new(optimizer, method).into_stream(network, config.batch))
    }

    /// The learning rate of the network, and that of its synthetic gradient.
    fn scheduler<C: Cell>(&self, network: &Network<C>) -> Result<ModuleLrScheduler> {
        let (lr, of_module) = (self.config.lr, self.config.synthetic.lr);
        let scheduler = |lr: f64| match self.config.schedule {
            Schedule::Constant => LrSchedulerConfig::Constant(lr),
            Schedule::Cosine => CosineAnnealingLrSchedulerConfig::new(lr, self.config.iterations).into(),
        };
        let mut config = ModuleLrSchedulerConfig::new(scheduler(lr));
        if let Some(module) = &network.synthetic_gradient {
            config = config.with_group(ParamGroup::ids_from_module(module.clone()), scheduler(of_module));
        }
        config.init().map_err(|reason| anyhow!("lr is {lr}: {reason}"))
    }

    fn row(
        &mut self,
        iteration: usize,
        learning_rate: f64,
        report: &Report,
        example: &Example,
    ) -> TrainingMetrics {
        let outputs = report.outputs.as_ref().expect("the method keeps outputs");
        let score = self.task.score(outputs, example);
        self.task.observe(score);
        TrainingMetrics {
            iteration,
            loss: report.loss,
            rate_loss: report.rate_loss,
            score,
            firing_rate_hz: 1000.0 / self.config.network.dt_ms * mean_firing_rate(&report.firing_rates),
            gradient_norm: report.gradient_norm,
            learning_rate,
            progress: self.task.progress(),
        }
    }

    fn message(&self, row: &TrainingMetrics) -> String {
        let TrainingMetrics { loss, score, firing_rate_hz, progress, .. } = row;
        let progress = progress.iter().map(|(name, number)| format!("  {name} {number}"));
        let name = self.task.score_name();
        format!("loss {loss:.4}  {name} {score:.4}  rate {firing_rate_hz:.1} Hz")
            + &progress.collect::<String>()
    }

    fn save<C: Cell>(&self, network: &Network<C>, rows: &[TrainingMetrics]) -> Result<()> {
        self.folder.write(MODEL, &model::to_bytes(network.clone())?)?;
        if let Some(statistics) = self.task.statistics() {
            self.folder.write(task::STATISTICS, statistics.as_bytes())?;
        }
        self.folder.write(METRICS, to_csv(self.task.score_name(), rows).as_bytes())
    }

    /// Plots, and the summary.
    fn conclude<C: Cell>(
        &self,
        network: &Network<C>,
        rows: &[TrainingMetrics],
        elapsed: Duration,
        ending: Ending,
    ) -> Result<()> {
        let task = self.task.as_ref();
        let metrics = EvaluationMetrics::measure(network, task, self.config, SplitName::Test)
            .with_context(|| format!("the run in {}", self.folder.path().display()))?;
        let report = serde_json::to_string_pretty(&metrics.to_json()).expect("numbers");
        self.folder.write(EVALUATION, report.as_bytes())?;
        plots::draw(network, task, self.config, rows, &metrics, self.folder).context("the plots")?;
        let (done, folder) = (rows.len(), self.folder.path().display());
        let verb = if ending == Ending::Complete { "trained" } else { "interrupted after" };
        output::print(format_args!("{verb} {done} iterations in {:.0} s", elapsed.as_secs_f64()))?;
        output::print(format_args!("test: {}", metrics.to_line()))?;
        output::print(format_args!("run folder: {folder} (settings, metrics, model)"))?;
        output::print(format_args!("plots: {folder}/learning_curve.svg, {folder}/activity.svg"))
    }
}
