//! Learning from sequences, a batch in each iteration.

use anyhow::{Context, Result, anyhow};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use burn_eprop::OptimizerHook;
use burn_eprop::estimator::mean_firing_rate;
use burn_eprop::hook::Report;

use crate::align::Comparison;
use crate::checkpoint::{CHECKPOINT, Checkpoint};
use crate::cli::SplitName;
use crate::config::{RunConfig, Update};
use crate::divergence::{DIVERGED, ensure_bounded};
use crate::method::{Method, MethodState, Model};
use crate::metrics::EvaluationMetrics;
use crate::model::{self, WithModel};
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::task::{self, Example, Task};
use crate::train::{EVALUATION, Ending, Lesson, Run, SOLVED_AT};
use crate::{plots, validation};

/// The task of a run, as far as its checkpoint has come.
///
/// # Errors
///
/// If settings or data are unusable, or not those of the checkpoint.
pub(crate) fn task(
    config: &RunConfig,
    checkpoint: Option<&Checkpoint>,
    device: &Device,
) -> Result<Box<dyn Task>> {
    let mut task = task::train(config, device)?;
    if let Some(checkpoint) = checkpoint {
        task.restore(checkpoint.statistics.as_deref()).context(CHECKPOINT)?;
    }
    Ok(task)
}

/// Trains a network on a task.
///
/// # Errors
///
/// If something cannot be read or written, or a value becomes NaN or infinite.
pub(crate) fn train(run: Run, config: &RunConfig, task: Box<dyn Task>, device: &Device) -> Result<Ending> {
    if let Some(statistics) = task.statistics() {
        run.folder.write(task::STATISTICS, statistics.as_bytes())?;
    }
    let sizes = [task.inputs(), task.outputs()];
    run.check_weights(model::weights(config, sizes))?;
    model::with_model(config, sizes, &device.clone().autodiff(), Training { run, config, task })
}

struct Training<'a> {
    run: Run<'a>,
    config: &'a RunConfig,
    task: Box<dyn Task>,
}

impl WithModel for Training<'_> {
    type Output = Ending;

    fn run<M: Model>(self, model: M) -> Result<Ending> {
        let Self { run, config, task } = self;
        let (model, optimizer) = run.restore(model, config.optimizer())?;
        let method = Method::of(config, config.method)?;
        let hook = OptimizerHook::new(optimizer, method).into_stream(model.networks()[0], config.batch);
        let scheduler = config.scheduler(&model)?;
        let comparison = Comparison::new(config, &model)?;
        let lesson = Sequences { config, folder: run.folder, task, hook, comparison };
        run.go(model, scheduler, lesson)
    }
}

struct Sequences<'a> {
    config: &'a RunConfig,
    folder: &'a RunFolder,
    task: Box<dyn Task>,
    hook: OptimizerHook<Method, MethodState>,
    /// With BPTT, where it is asked for.
    comparison: Option<Comparison>,
}

impl<M: Model> Lesson<M> for Sequences<'_> {
    fn columns(&self) -> Vec<String> {
        let score = self.task.score_name();
        let columns =
            ["iteration", "loss", "rate_loss", score, "firing_rate_hz", "gradient_norm", "learning_rate"];
        let validation = self.config.validation.map(|_| validation::column(score));
        let progress = self.task.progress().into_iter().map(|(name, _)| name.to_owned());
        let voltage = self.config.voltage.map(|_| "voltage_loss".to_owned());
        let alignment = self.comparison.iter().flat_map(Comparison::columns);
        let columns = columns.map(str::to_owned).into_iter().chain(voltage).chain(validation);
        columns.chain(progress).chain(alignment).collect()
    }

    fn learn(
        &mut self,
        iteration: usize,
        learning_rate: ModuleLearningRate,
        model: M,
        metrics: &Table,
    ) -> (M, Result<Vec<f64>>) {
        let example = self.task.example(iteration);
        let lr = learning_rate.base();
        let windows = (self.config.update == Update::Window).then_some(self.config.chunk);
        let alignment = match &mut self.comparison {
            Some(comparison) => comparison.row(iteration, &model, &example.batch, metrics),
            None => Vec::new(),
        };
        let (model, report) = model.learn(&mut self.hook, learning_rate, &example.batch, windows);
        // A report without outputs is of data that were refused.
        let computed = report.outputs.is_some();
        let finite = report.ensure_finite().map_err(|error| match computed {
            true => anyhow!("{error}: {DIVERGED}"),
            false => error.into(),
        });
        let row = finite.and_then(|report| {
            let validated = self.validate(iteration, &model, metrics)?;
            let mut row = self.row(iteration, lr, &report, &example, validated);
            row.extend(alignment);
            Ok(row)
        });
        (model, row)
    }

    fn optimizer(&self) -> &ModuleOptimizer {
        self.hook.optimizer()
    }

    fn statistics(&self) -> Option<String> {
        self.task.statistics()
    }

    fn is_over(&self, metrics: &Table) -> bool {
        let settings = self.config.validation.filter(|settings| settings.stop);
        settings.is_some_and(|settings| settings.solved_at(self.task.score_name(), metrics).is_some())
    }

    fn conclude(&self, model: &M, metrics: &Table) -> Result<Vec<String>> {
        let task = self.task.as_ref();
        let found = EvaluationMetrics::measure(model, task, self.config, SplitName::Test)?;
        ensure_bounded(found.loss, metrics).context("on test data")?;
        let mut report = found.to_json();
        let mut said = Vec::new();
        if let Some(settings) = self.config.validation {
            let solved = settings.solved_at(task.score_name(), metrics);
            report[SOLVED_AT] = solved.into();
            let when = solved.map_or("not reached".into(), |at| format!("reached at iteration {at}"));
            said.push(format!("validation {} of {} {when}", task.score_name(), settings.criterion));
        }
        let report = serde_json::to_string_pretty(&report).expect("numbers");
        self.folder.write(EVALUATION, report.as_bytes())?;
        plots::draw(model, task, self.config, metrics, &found, self.folder).context("the plots")?;
        said.push(format!("test: {}", found.to_line()));
        if let Some(comparison) = &self.comparison {
            let title = format!("{}: gradients beside those of BPTT", task.title());
            said.extend(comparison.conclude(metrics, &title, self.folder)?);
        }
        let folder = self.folder.path().display();
        said.push(format!("plots: {folder}/learning_curve.svg, {folder}/activity.svg"));
        Ok(said)
    }
}

impl Sequences<'_> {
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
        row.extend(self.config.voltage.map(|_| report.voltage_loss));
        row.extend(validated);
        row.extend(self.task.progress().into_iter().map(|(_, number)| number));
        row
    }

    /// The score on the validation split, or where this iteration has no look at it, that of the last look.
    fn validate<M: Model>(&self, iteration: usize, model: &M, metrics: &Table) -> Result<Option<f64>> {
        let Some(settings) = self.config.validation else {
            return Ok(None);
        };
        if !iteration.is_multiple_of(settings.every) {
            return Ok(Some(metrics.last(&validation::column(self.task.score_name()))));
        }
        let (task, model) = (self.task.as_ref(), model.valid());
        let found = EvaluationMetrics::measure(&model, task, self.config, SplitName::Validation)?;
        Ok(Some(found.score))
    }
}
