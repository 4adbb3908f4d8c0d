//! The plots of a run.

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use burn_eprop::eligibility::stepwise_traces;
use burn_eprop::estimator::{Eprop, LayerRecord};
use burn_eprop::{Batch, RecurrentModel};
use eprop_tasks::plot::{Lines, Panel, Raster, Scale, Series, confusion_matrix, figure, learning_curve};

use crate::cli::SplitName;
use crate::config::RunConfig;
use crate::metrics::EvaluationMetrics;
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::task::{Shown, Task, Values, values};
use crate::validation;

/// What a task that grows tells of the longest sequence that was solved.
pub const SOLVED: &str = "solved_steps";

/// Draws the learning curve, the activity in one sequence and, for classes, the confusion matrix.
///
/// # Errors
///
/// If a file cannot be written.
pub fn draw<M: RecurrentModel>(
    model: &M,
    task: &dyn Task,
    config: &RunConfig,
    rows: &Table,
    metrics: &EvaluationMetrics,
    folder: &RunFolder,
) -> Result<()> {
    draw_learning_curve(task, rows, folder)?;
    draw_activity(model, task, config, folder)?;
    if let Some((names, counts)) = &metrics.confusion {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        confusion_matrix(
            folder.file("confusion_matrix.svg"),
            "Decisions on the test split",
            &names,
            &counts.concat(),
        )?;
    }
    Ok(())
}

fn draw_learning_curve(task: &dyn Task, rows: &Table, folder: &RunFolder) -> Result<()> {
    let x = rows.column("iteration").unwrap_or_default();
    let series = |name: &str, column: &str| Some(Series::new(name, &x, &rows.column(column)?));
    let loss: Vec<_> = series("training", "loss").into_iter().collect();
    let loss = Lines::new("loss", "loss", loss).with_scale(Scale::Log);
    let name = task.score_name();
    let score = match series("training", SOLVED) {
        Some(solved) => Lines::new("longest sequence solved", "steps", vec![solved]),
        None => {
            let validation = series("validation", &validation::column(name));
            let scores = series("training", name).into_iter().chain(validation);
            Lines::new(name, name, scores.collect())
        }
    };
    let file = folder.file("learning_curve.svg");
    Ok(learning_curve(file, "Learning curve", "iteration", loss, Some(score))?)
}

/// Inputs, neurons of the lowest layer, learning signal, a trace and outputs of one sequence of the test split; of a bidirectional model,
/// those of the forward network and the outputs of both.
fn draw_activity<M: RecurrentModel>(
    model: &M,
    task: &dyn Task,
    config: &RunConfig,
    folder: &RunFolder,
) -> Result<()> {
    let example = task.batches(SplitName::Test)?.next().context("the test split is empty")?;
    let batch = first_sequence(&example.batch);
    let signal = config.signal.create(config.signal_decay)?;
    let mut eprop = Eprop::boxed(config.objective(), signal).with_chunk(batch.steps());
    let mut records = Vec::new();
    eprop.estimate_observed(model.networks()[0], &model.views(&batch)[0], &mut |record| records.push(record));
    let record = records.first().context("a sequence has at least one step")?;
    let layer = &record.layers[0];
    let dt_ms = config.network.dt_ms;

    let shown = Shown {
        inputs: Values::from(batch.inputs()),
        outputs: Values::from(&model.evaluate(&batch, &config.objective()).outputs),
        targets: Values::from(batch.targets()),
        mask: values(&batch.weights()),
        dt_ms,
    };
    let mut panels = vec![task.input_panel(&shown), neuron_panel(layer, config, record.layers.len())];
    panels.extend(learning_panels(layer, dt_ms));
    panels.extend(task.output_panels(&shown));
    let title = format!("{}: from the test split, after training", task.title());
    Ok(figure(folder.file("activity.svg"), &title, "time (ms)", &panels)?)
}

/// The first sequence of a batch, without its padding.
fn first_sequence(batch: &Batch) -> Batch {
    let length = batch.lengths()[0].max(1);
    let cut = |tensor: &Tensor<3>| tensor.clone().narrow(0, 0, 1).narrow(1, 0, length);
    let weights = batch.weights().narrow(0, 0, 1).narrow(1, 0, length);
    Batch::new(cut(batch.inputs()), cut(batch.targets())).with_mask(weights)
}

fn neuron_panel(layer: &LayerRecord, config: &RunConfig, layers: usize) -> Panel {
    let title = |what: &str| match layers {
        1 => what.to_owned(),
        _ => format!("{what} of layer 1 of {layers}"),
    };
    let outputs = values(&layer.outputs);
    let count = layer.outputs.dims()[2];
    let dt_ms = config.network.dt_ms;
    if outputs.iter().all(|&z| z == 0.0 || z == 1.0) {
        return Panel::Raster(Raster::from_steps(title("Neurons"), "neuron", dt_ms, &outputs, count as u32));
    }
    let shown = (0..count.min(4)).map(|unit| {
        let y: Vec<f32> = outputs.iter().skip(unit).step_by(count).copied().collect();
        Series::sampled(format!("unit {unit}"), dt_ms, &y)
    });
    Panel::Lines(Lines::new(title("Units"), "output", shown.collect()))
}

/// The learning signal of the neuron that learns most, and the trace of one of its synapses.
fn learning_panels(layer: &LayerRecord, dt_ms: f64) -> Vec<Panel> {
    let [steps, _, neurons] = layer.signal.dims();
    let column = |tensor: &Tensor<3>, index: usize| values(&tensor.clone().narrow(2, index, 1));
    let strongest = |tensor: Tensor<3>| {
        let sums = values(&tensor.abs().sum_dim(0));
        (0..sums.len()).max_by(|&a, &b| sums[a].total_cmp(&sums[b])).unwrap_or(0)
    };
    // How much a neuron learns: its signal where its output reacts to its current.
    let sensitivity = layer.linearization.d[0].clone().map(|d| d.reshape([steps, 1, neurons]));
    let neuron = strongest(match sensitivity {
        Some(sensitivity) => layer.signal.clone() * sensitivity,
        None => layer.signal.clone(),
    });
    // The trace of the synapse whose input is most active.
    let synapse = strongest(layer.pre.clone());
    let trace = stepwise_traces(&layer.linearization, layer.pre.clone().narrow(2, synapse, 1)).swap_remove(0);
    let trace = column(&trace.reshape([steps, 1, neurons]), neuron);
    let signal = column(&layer.signal, neuron);
    let lines = |title: String, label: &str, y: &[f32]| {
        Panel::Lines(Lines::new(title, label, vec![Series::sampled(label, dt_ms, y)]))
    };
    vec![
        lines(format!("Learning signal of neuron {neuron}"), "L", &signal),
        lines(format!("Eligibility trace of its synapse {synapse}"), "e", &trace),
    ]
}
