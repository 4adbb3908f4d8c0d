//! How a learner does on tasks that it has not seen, before and after one presentation.

use anyhow::{Result, bail, ensure};
use burn::tensor::Device;
use burn_eprop::Cell;
use burn_eprop::meta::{MetaLearner, OneShot};
use serde_json::{Map, Value, json};

use super::config::{OneShotConfig, Teacher};
use super::control::control;
use super::family::{BASELINE_TASKS, Family, Tasks};
use super::model::{WithMetaLearner, weights, with_meta_learner};
use crate::cli::{EvalArgs, SplitName};
use crate::divergence::DIVERGED;
use crate::model::{check_file, load};
use crate::output;
use crate::run_folder::RunFolder;
use crate::train::{CONFIG, MODEL};

/// Tasks that `eprop eval` looks at.
const TASKS: usize = 960;
/// Seed of the held-out tasks, beyond those that a run can have: they are the same for all runs with batches of one size.
const HELD_OUT: u64 = u64::MAX;
/// Seed of the tasks by which a control's η is chosen.
const VALIDATION: u64 = u64::MAX - 1;
/// Tasks for that choice.
const VALIDATION_TASKS: usize = 48;
/// How many η are tried for a control.
const TRIED: i32 = 15;

/// The η that are tried, in half decades.
fn tried(index: i32) -> f64 {
    10.0_f64.powf(-6.0 + 0.5 * f64::from(index))
}

/// Errors on held-out tasks.
#[derive(Debug, Clone)]
pub(super) struct Report {
    tasks: usize,
    before: f64,
    after: f64,
    /// The same learner after an update by e-prop 1 in place of the error module, and the η that did best.
    controls: Vec<(&'static str, f64, f64)>,
    baselines: Vec<(&'static str, f64)>,
}

/// Prints the errors of a run's learner on held-out tasks.
///
/// # Errors
///
/// If the run is missing or damaged, or an option is for other tasks.
pub fn evaluate(args: &EvalArgs) -> Result<()> {
    if args.data.is_some() || args.split != SplitName::Test {
        bail!("--data and --split are not for one-shot tasks, which are drawn");
    }
    let folder = RunFolder::open(&args.run);
    let mut config = OneShotConfig::read(&folder.file(CONFIG))?;
    config.device = args.device.unwrap_or(config.device);
    let device = config.device.open_with(config.threads)?;
    let family = Family::new(&config)?;
    check_file(weights(&config, &family), &folder.file(MODEL))?;
    let evaluation = Evaluation { config: &config, folder: &folder, family: &family, device: &device };
    let report = with_meta_learner(&config, &family, &device, evaluation)?;
    match args.json {
        true => output::print(report.to_json()),
        false => report.to_lines().into_iter().try_for_each(output::print),
    }
}

struct Evaluation<'a> {
    config: &'a OneShotConfig,
    folder: &'a RunFolder,
    family: &'a Family,
    device: &'a Device,
}

impl WithMetaLearner for Evaluation<'_> {
    type Output = Report;

    fn run<C: Cell>(self, meta: MetaLearner<C, C>, rule: OneShot<C>) -> Result<Report> {
        let meta = load(meta, &self.folder.file(MODEL))?;
        Report::measure(&meta, &rule, self.config, self.family, TASKS, self.device)
    }
}

/// Held-out tasks, a batch at a time; what the error module of a control sees is as it was in training.
pub(super) fn held_out(config: &OneShotConfig, family: &Family, number: u64, device: &Device) -> Tasks {
    family.draw(config.batch, HELD_OUT, number, config.signal, device)
}

impl Report {
    /// Measures a learner on so many tasks, in whole batches.
    pub(super) fn measure<C: Cell>(
        meta: &MetaLearner<C, C>,
        rule: &OneShot<C>,
        config: &OneShotConfig,
        family: &Family,
        tasks: usize,
        device: &Device,
    ) -> Result<Self> {
        let batches = tasks.div_ceil(config.batch) as u64;
        let errors = |meta: &MetaLearner<C, C>, rule: &OneShot<C>, seed: u64, batches: u64| {
            let each = (0..batches).map(|number| {
                let tasks = family.draw(config.batch, seed, number, config.signal, device);
                errors(meta, rule, family, &tasks)
            });
            let sum = each.reduce(|sum, errors| [sum[0] + errors[0], sum[1] + errors[1]]);
            sum.unwrap_or_default().map(|error| error / batches as f64)
        };
        let [before, after] = errors(meta, rule, HELD_OUT, batches);
        ensure!(
            before.is_finite() && after.is_finite(),
            "the learner's error is {before}, and {after} after an update: {DIVERGED}"
        );
        let mut controls = Vec::new();
        if config.signal == Teacher::Learned {
            for (name, teacher) in [("symmetric", Teacher::Symmetric), ("random", Teacher::Random)] {
                let rule = match control(teacher, family) {
                    Some(signal) => rule.clone().with_signal(signal),
                    None => continue,
                };
                let validation = VALIDATION_TASKS.div_ceil(config.batch) as u64;
                let all = (0..TRIED).map(tried).map(|rate| {
                    let [_, after] = errors(&with_rate(meta, rate), &rule, VALIDATION, validation);
                    (rate, after)
                });
                let best = all.filter(|(_, error)| error.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1));
                let rate = best.map_or_else(|| tried(0), |(rate, _)| rate);
                let [_, after] = errors(&with_rate(meta, rate), &rule, HELD_OUT, batches);
                controls.push((name, after, rate));
            }
        }
        let tasks = batches as usize * config.batch;
        Ok(Self { tasks, before, after, controls, baselines: family.baselines(HELD_OUT) })
    }

    /// One JSON object.
    pub(super) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("tasks".into(), json!(self.tasks));
        object.insert("error_before".into(), json!(self.before));
        object.insert("error_after".into(), json!(self.after));
        for (name, error, rate) in &self.controls {
            object.insert(format!("error_after_{name}"), json!(error));
            object.insert(format!("update_lr_{name}"), json!(rate));
        }
        object.extend(self.baselines.iter().map(|(name, error)| (format!("baseline_{name}"), json!(error))));
        Value::Object(object)
    }

    /// A table.
    pub(super) fn to_lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("mean square error on {} held-out tasks", self.tasks),
            format!("  before the presentation        {:.4}", self.before),
            format!("  after one update               {:.4}", self.after),
        ];
        lines.extend(self.controls.iter().map(|(name, error, rate)| {
            format!("  by e-prop 1, {name:<18}{error:.4}  (the best η of {TRIED}, {rate:.0e})")
        }));
        lines.push(format!("and on {BASELINE_TASKS} others, without learning"));
        let baselines = self.baselines.iter();
        lines.extend(baselines.map(|(name, error)| format!("  {:<31}{error:.4}", name.replace('_', " "))));
        lines
    }
}

/// The error before and after one update.
fn errors<C: Cell>(meta: &MetaLearner<C, C>, rule: &OneShot<C>, family: &Family, tasks: &Tasks) -> [f64; 2] {
    let adaptation = rule.adapt(meta, &tasks.training);
    let [after, _] = adaptation.test(&meta.learner, tasks.test_inputs.clone());
    [adaptation.outputs, after]
        .map(|outputs| family.error(family.achieved(outputs), tasks).into_scalar::<f64>())
}

/// The same with another η.
fn with_rate<C: Cell>(meta: &MetaLearner<C, C>, rate: f64) -> MetaLearner<C, C> {
    let mut meta = meta.clone();
    meta.log_rates = meta.log_rates.map(|rates| rates.full_like(rate.ln()));
    meta
}
