//! The plots of a one-shot run.

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use burn_eprop::Cell;
use burn_eprop::meta::{Adaptation, MetaLearner, OneShot};
use eprop_tasks::plot::{Lines, Panel, Raster, Scale, Series, figure, learning_curve, trajectory};

use super::config::{OneShotConfig, OneShotTask};
use super::eval::held_out;
use super::family::{Family, Tasks};
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::task::values;

const LEARNING_CURVE: &str = "learning_curve.svg";
const PRESENTATION: &str = "one_shot.svg";
/// The path of the arm.
const TRAJECTORY: &str = "trajectory.svg";
/// Points of a learning curve.
const POINTS: usize = 120;
/// Neurons whose learning signal is drawn.
const SIGNALS: usize = 4;

/// The files.
pub(super) fn files(task: OneShotTask) -> Vec<&'static str> {
    match task {
        OneShotTask::ArmReaching => vec![LEARNING_CURVE, PRESENTATION, TRAJECTORY],
        OneShotTask::SineRegression => vec![LEARNING_CURVE, PRESENTATION],
    }
}

/// Draws the learning curve, and a held-out task: what the learner does before and after one presentation, and what it was told.
///
/// # Errors
///
/// If a file cannot be written.
pub(super) fn draw<C: Cell>(
    meta: &MetaLearner<C, C>,
    rule: &OneShot<C>,
    config: &OneShotConfig,
    family: &Family,
    metrics: &Table,
    folder: &RunFolder,
    device: &Device,
) -> Result<()> {
    draw_learning_curve(metrics, folder)?;
    let tasks = held_out(config, family, 0, device);
    let adaptation = rule.adapt(meta, &tasks.training);
    let [after, _] = adaptation.test(&meta.learner, tasks.test_inputs.clone());
    let shown =
        of_median_error(&values(&family.achieved(after.clone())), &values(&tasks.goals), config.batch);
    let one = |tensor: &Tensor<3>| tensor.clone().narrow(0, shown, 1);
    if config.task == OneShotTask::ArmReaching {
        let path = |outputs: &Tensor<3>| values(&family.achieved(one(outputs)));
        let paths = [
            Series::path("target", &values(&one(&tasks.goals))).dashed(),
            Series::path("before", &path(&adaptation.outputs)),
            Series::path("after one presentation", &path(&after)),
        ];
        trajectory(folder.file(TRAJECTORY), "A held-out path of median error", "x", "y", &paths)?;
    }
    let panels = panels(config, &adaptation, &tasks, &after, shown);
    Ok(figure(
        folder.file(PRESENTATION),
        "One presentation of a held-out task of median error",
        "time (ms)",
        &panels,
    )?)
}

/// The task whose error is the median of all.
fn of_median_error(achieved: &[f32], goals: &[f32], tasks: usize) -> usize {
    let length = goals.len() / tasks;
    let error = |task: usize| {
        let pairs = achieved[task * length..][..length].iter().zip(&goals[task * length..][..length]);
        pairs.map(|(x, goal)| f64::from(x - goal).powi(2)).sum::<f64>()
    };
    let mut order: Vec<(usize, f64)> = (0..tasks).map(|task| (task, error(task))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    order[tasks / 2].0
}

/// The errors over the outer loop, means of successive batches.
fn draw_learning_curve(metrics: &Table, folder: &RunFolder) -> Result<()> {
    let stretch = metrics.len().div_ceil(POINTS).max(1);
    let means = |column: &str| -> Vec<f64> {
        let values = metrics.column(column).unwrap_or_default();
        values.chunks(stretch).map(|values| values.iter().sum::<f64>() / values.len() as f64).collect()
    };
    let x = means("iteration");
    let series = |name: &str, column: &str| Series::new(name, &x, &means(column));
    let errors = vec![series("before", "error_before"), series("after one update", "error_after")];
    let errors = Lines::new("error on new tasks", "mean square error", errors).with_scale(Scale::Log);
    let rates = vec![series("learner", "learner_rate_hz"), series("error module", "module_rate_hz")];
    let rates = Lines::new("firing rates", "Hz", rates);
    Ok(learning_curve(folder.file(LEARNING_CURVE), "Outer loop", "iteration", errors, Some(rates))?)
}

/// Outputs, neurons, error module and learning signals of a task.
fn panels(
    config: &OneShotConfig,
    adaptation: &Adaptation,
    tasks: &Tasks,
    after: &Tensor<3>,
    shown: usize,
) -> Vec<Panel> {
    let dt_ms = config.dt_ms();
    let column =
        |tensor: &Tensor<3>, index: usize| values(&tensor.clone().narrow(0, shown, 1).narrow(2, index, 1));
    let count = tasks.targets.dims()[2];
    let mut panels: Vec<_> = (0..count)
        .map(|output| {
            let series = vec![
                Series::sampled("before", dt_ms, &column(&adaptation.outputs, output)),
                Series::sampled("after", dt_ms, &column(after, output)),
                Series::sampled("target", dt_ms, &column(&tasks.targets, output)).dashed(),
            ];
            let (title, label) = match config.task {
                OneShotTask::ArmReaching => (format!("Velocity of joint {}", output + 1), "rad/s"),
                OneShotTask::SineRegression => ("Output".into(), "y"),
            };
            Panel::Lines(Lines::new(title, label, series))
        })
        .collect();
    let activity = |title: &str, neurons: &Tensor<3>| {
        let count = neurons.dims()[2];
        let outputs = values(&neurons.clone().narrow(0, shown, 1));
        if outputs.iter().all(|&z| z == 0.0 || z == 1.0) {
            return Panel::Raster(Raster::from_steps(title, "neuron", dt_ms, &outputs, count as u32));
        }
        let units = (0..count.min(SIGNALS))
            .map(|unit| Series::sampled(format!("unit {unit}"), dt_ms, &column(neurons, unit)));
        Panel::Lines(Lines::new(title, "output", units.collect()))
    };
    panels.push(activity("Learner, training trial", &adaptation.neurons));
    if let Some(module) = &adaptation.module_neurons {
        panels.push(activity("Error module, training trial", module));
    }
    let neurons = adaptation.signal.dims()[2];
    let signals = (0..neurons.min(SIGNALS)).map(|neuron| {
        Series::sampled(format!("neuron {neuron}"), dt_ms, &column(&adaptation.signal, neuron))
    });
    panels.push(Panel::Lines(Lines::new("Learning signals", "L", signals.collect())));
    panels
}
