//! `eprop train`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use burn::grad_clipping::GradientClippingConfig;
use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig};
use burn::module::{Module, ParamGroup};
use burn::optim::{AdamConfig, ModuleOptimizer, OptimizerRecord, SgdConfig};
use burn::tensor::Device;
use burn_eprop::estimator::mean_firing_rate;
use burn_eprop::hook::Report;
use burn_eprop::{Cell, Network, OptimizerHook};

use crate::checkpoint::{CHECKPOINT, Checkpoint};
use crate::cli::{SplitName, TrainArgs};
use crate::config::{OptimizerName, RunConfig, Schedule, Update, read_table};
use crate::method::{Method, MethodState, learn};
use crate::metrics::EvaluationMetrics;
use crate::model::{self, WithNetwork};
use crate::progress::Progress;
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::task::{self, Example, Task};
use crate::{one_shot, output, plots, validation};

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
    let config = RunConfig::resolve(args)?;
    let device = config.device.open()?;
    let task = task::train(&config, &device)?;
    let folder = RunFolder::create(args.out.as_deref(), &name(&config))?;
    folder.write(CONFIG, config.to_toml().as_bytes())?;
    if let Some(statistics) = task.statistics() {
        folder.write(task::STATISTICS, statistics.as_bytes())?;
    }
    Training { config: &config, folder: &folder, interrupted, task, checkpoint: None }.run(&device)
}

/// Goes on with a run from its last checkpoint, as if it had never been interrupted.
///
/// # Errors
///
/// If files of the run are damaged or its data have changed; and those of [`run`].
pub fn resume(path: &Path, interrupted: &AtomicBool) -> Result<Ending> {
    let folder = RunFolder::open(path);
    folder.remove_unfinished()?;
    if one_shot::config::task_of(&read_table(&folder.file(CONFIG))?).is_some() {
        return one_shot::resume(path, interrupted);
    }
    let config = RunConfig::read(&folder.file(CONFIG))?;
    let device = config.device.open()?;
    let checkpoint = Checkpoint::last(&folder, config.iterations)?;
    let mut task = task::train(&config, &device)?;
    if let Some(checkpoint) = &checkpoint {
        let file = folder.file(CHECKPOINT);
        task.restore(checkpoint.statistics.as_deref()).with_context(|| file.display().to_string())?;
    }
    folder.remove(EVALUATION)?;
    Training { config: &config, folder: &folder, interrupted, task, checkpoint }.run(&device)
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
    checkpoint: Option<Checkpoint>,
}

impl WithNetwork for Training<'_> {
    type Output = Ending;

    fn run<C: Cell>(mut self, mut network: Network<C>) -> Result<Ending> {
        let mut metrics = Table::new(self.columns());
        let mut state = None;
        if let Some(checkpoint) = self.checkpoint.take() {
            let file = self.folder.file(CHECKPOINT);
            let restored = checkpoint.restore(network).with_context(|| file.display().to_string())?;
            (network, state) = (restored.0, Some(restored.1));
            let fits = metrics.columns() == checkpoint.metrics.columns();
            ensure!(fits, "the checkpoint of {} is not that of its settings", self.folder.path().display());
            metrics = checkpoint.metrics;
        }
        let mut hook = self.hook(&network, state)?;
        let mut scheduler = self.scheduler(&network)?;
        (0..metrics.len()).for_each(|_| drop(scheduler.step()));
        let mut progress = Progress::new(self.config.iterations);
        let started = Instant::now();
        let mut saved = Instant::now();
        let mut ending = Ending::Complete;
        for iteration in metrics.len() + 1..=self.config.iterations {
            if self.is_solved(&metrics) {
                break;
            }
            let example = self.task.example(iteration);
            let learning_rate = scheduler.step();
            let lr = learning_rate.base();
            let windows = (self.config.update == Update::Window).then_some(self.config.chunk);
            let (updated, report) = learn(&mut hook, learning_rate, network, &example.batch, windows);
            network = updated;
            if let Some(error) = &report.non_finite {
                progress.finish();
                self.save(&network, &hook, &metrics)?;
                let folder = self.folder.path().display();
                return Err(anyhow!("iteration {iteration}: {error}; the run up to there is in {folder}"));
            }
            let validated = self.validate(iteration, &network, &metrics)?;
            metrics.push(self.row(iteration, lr, &report, &example, validated));
            progress.update(iteration, || self.message(&metrics));
            if self.interrupted.load(Ordering::Relaxed) {
                ending = Ending::Interrupted;
                break;
            }
            if saved.elapsed().as_secs_f64() >= self.config.checkpoint_seconds {
                self.save(&network, &hook, &metrics)?;
                saved = Instant::now();
            }
        }
        progress.finish();
        self.save(&network, &hook, &metrics)?;
        self.conclude(&network.valid(), &metrics, started.elapsed(), ending)?;
        Ok(ending)
    }
}

impl Training<'_> {
    fn run(self, device: &Device) -> Result<Ending> {
        let (inputs, outputs) = (self.task.inputs(), self.task.outputs());
        model::with_network(self.config, inputs, outputs, &device.clone().autodiff(), self)
    }

    fn hook<C: Cell>(
        &self,
        network: &Network<C>,
        state: Option<OptimizerRecord>,
    ) -> Result<OptimizerHook<Method, MethodState>> {
        let config = self.config;
        let clipping = config.clip_norm.map(|norm| GradientClippingConfig::Norm(norm as f32));
        let optimizer: ModuleOptimizer = match config.optimizer {
            OptimizerName::Sgd => SgdConfig::new().with_gradient_clipping(clipping).init(),
            OptimizerName::Adam => AdamConfig::new().with_grad_clipping(clipping).init(),
        };
        let optimizer = match state {
            Some(state) => optimizer.load_record(state),
            None => optimizer,
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

    /// What is measured in each iteration.
    fn columns(&self) -> Vec<String> {
        let score = self.task.score_name();
        let mut columns =
            ["iteration", "loss", "rate_loss", score, "firing_rate_hz", "gradient_norm", "learning_rate"]
                .map(str::to_owned)
                .to_vec();
        columns.extend(self.config.validation.map(|_| validation::column(score)));
        columns.extend(self.task.progress().into_iter().map(|(name, _)| name.to_owned()));
        columns
    }

    fn row(
        &mut self,
        iteration: usize,
        learning_rate: f64,
        report: &Report,
        example: &Example,
        validated: Option<f64>,
    ) -> Vec<f64> {
        let outputs = report.outputs.as_ref().expect("the method keeps outputs");
        let score = self.task.score(outputs, example);
        self.task.observe(score);
        let firing_rate_hz = 1000.0 / self.config.network.dt_ms * mean_firing_rate(&report.firing_rates);
        let mut row = vec![iteration as f64, report.loss, report.rate_loss, score, firing_rate_hz];
        row.extend([report.gradient_norm, learning_rate]);
        row.extend(validated);
        row.extend(self.task.progress().into_iter().map(|(_, number)| number));
        row
    }

    /// The score on the validation split, or where this iteration has no look at it, that of the last look.
    fn validate<C: Cell>(
        &self,
        iteration: usize,
        network: &Network<C>,
        metrics: &Table,
    ) -> Result<Option<f64>> {
        let Some(settings) = self.config.validation else {
            return Ok(None);
        };
        if !iteration.is_multiple_of(settings.every) {
            return Ok(Some(metrics.last(&validation::column(self.task.score_name()))));
        }
        let (task, network) = (self.task.as_ref(), network.valid());
        let found = EvaluationMetrics::measure(&network, task, self.config, SplitName::Validation)?;
        Ok(Some(found.score))
    }

    /// Whether there is no need to go on.
    fn is_solved(&self, metrics: &Table) -> bool {
        let settings = self.config.validation.filter(|settings| settings.stop);
        settings.is_some_and(|settings| settings.solved_at(self.task.score_name(), metrics).is_some())
    }

    /// What a person sees of the last iteration.
    fn message(&self, metrics: &Table) -> String {
        let name = self.task.score_name();
        let last = |column: &str| metrics.last(column);
        let mut message = format!(
            "loss {:.4}  {name} {:.4}  rate {:.1} Hz",
            last("loss"),
            last(name),
            last("firing_rate_hz")
        );
        let others = metrics.columns().iter().skip_while(|column| *column != "learning_rate").skip(1);
        for column in others.filter(|column| last(column).is_finite()) {
            let number = (last(column) * 1e4).round() / 1e4;
            message += &format!("  {} {number}", column.replace('_', " "));
        }
        message
    }

    fn save<C: Cell>(
        &self,
        network: &Network<C>,
        hook: &OptimizerHook<Method, MethodState>,
        metrics: &Table,
    ) -> Result<()> {
        let statistics = self.task.statistics();
        let checkpoint = Checkpoint::bytes(network, hook.optimizer(), metrics, statistics.as_deref())?;
        self.folder.write(CHECKPOINT, &checkpoint)?;
        self.folder.write(MODEL, &model::to_bytes(network.clone())?)?;
        if let Some(statistics) = statistics {
            self.folder.write(task::STATISTICS, statistics.as_bytes())?;
        }
        self.folder.write(METRICS, metrics.to_csv().as_bytes())
    }

    /// Plots, and the summary.
    fn conclude<C: Cell>(
        &self,
        network: &Network<C>,
        rows: &Table,
        elapsed: Duration,
        ending: Ending,
    ) -> Result<()> {
        let task = self.task.as_ref();
        let metrics = EvaluationMetrics::measure(network, task, self.config, SplitName::Test)
            .with_context(|| format!("the run in {}", self.folder.path().display()))?;
        let mut report = metrics.to_json();
        let solved = self.config.validation.map(|settings| settings.solved_at(task.score_name(), rows));
        if let Some(solved) = solved {
            report[SOLVED_AT] = solved.into();
        }
        let report = serde_json::to_string_pretty(&report).expect("numbers");
        self.folder.write(EVALUATION, report.as_bytes())?;
        plots::draw(network, task, self.config, rows, &metrics, self.folder).context("the plots")?;
        let (done, folder) = (rows.len(), self.folder.path().display());
        let verb = if ending == Ending::Complete { "trained" } else { "interrupted after" };
        output::print(format_args!("{verb} {done} iterations in {:.0} s", elapsed.as_secs_f64()))?;
        match (solved, self.config.validation) {
            (Some(Some(iteration)), Some(settings)) => output::print(format_args!(
                "validation {} of {} reached at iteration {iteration}",
                task.score_name(),
                settings.criterion
            ))?,
            (Some(None), Some(settings)) => output::print(format_args!(
                "validation {} of {} not reached",
                task.score_name(),
                settings.criterion
            ))?,
            _ => {}
        }
        output::print(format_args!("test: {}", metrics.to_line()))?;
        if ending == Ending::Interrupted {
            output::print(format_args!("go on with: eprop train --resume {folder}"))?;
        }
        output::print(format_args!("run folder: {folder} (settings, metrics, model, checkpoint)"))?;
        output::print(format_args!("plots: {folder}/learning_curve.svg, {folder}/activity.svg"))
    }
}
