//! The plots of a run.

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use burn_eprop::eligibility::stepwise_traces;
use burn_eprop::estimator::{ChunkRecord, Eprop, LayerRecord};
use burn_eprop::{Batch, Cell, Network};
use eprop_tasks::plot::{Lines, Panel, Raster, Scale, Series, confusion_matrix, figure, learning_curve};

use crate::cli::SplitName;
use crate::config::{RunConfig, TaskName};
use crate::metrics::{EvaluationMetrics, TrainingMetrics};
use crate::run_folder::RunFolder;
use crate::task::{Task, values};

/// What a task that grows tells of the longest sequence that was solved.
pub const SOLVED: &str = "solved_steps";

/// Draws the learning curve, the activity in one sequence and, for classes, the confusion matrix.
///
/// # Errors
///
/// If a file cannot be written.
pub fn draw<C: Cell>(
    network: &Network<C>,
    task: &dyn Task,
    config: &RunConfig,
    rows: &[TrainingMetrics],
    metrics: &EvaluationMetrics,
    folder: &RunFolder,
) -> Result<()> {
    draw_learning_curve(task, rows, folder)?;
    draw_activity(network, task, config, folder)?;
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

fn draw_learning_curve(task: &dyn Task, rows: &[TrainingMetrics], folder: &RunFolder) -> Result<()> {
    let x: Vec<f64> = rows.iter().map(|row| row.iteration as f64).collect();
    let series = |name: &str, value: fn(&TrainingMetrics) -> f64| {
        let y: Vec<f64> = rows.iter().map(value).collect();
        Series::new(name, &x, &y)
    };
    let loss = Lines::new("loss", "loss", vec![series("training", |row| row.loss)]).with_scale(Scale::Log);
    let name = task.score_name();
    let solved =
        |row: &TrainingMetrics| row.progress.iter().find(|(name, _)| *name == SOLVED).map(|found| found.1);
    let score = match rows.first().and_then(solved) {
        Some(_) => {
            let y: Vec<f64> = rows.iter().filter_map(solved).collect();
            Lines::new("longest sequence solved", "steps", vec![Series::new("training", &x, &y)])
        }
        None => Lines::new(name, name, vec![series("training", |row| row.score)]),
    };
    let file = folder.file("learning_curve.svg");
    Ok(learning_curve(file, "Learning curve", "iteration", loss, Some(score))?)
}

/// Inputs, neurons, learning signal, a trace and outputs of one sequence of the test split.
fn draw_activity<C: Cell>(
    network: &Network<C>,
    task: &dyn Task,
    config: &RunConfig,
    folder: &RunFolder,
) -> Result<()> {
    let example = task.batches(SplitName::Test)?.next().context("the test split is empty")?;
    let batch = first_sequence(&example.batch);
    let signal = config.signal.create(config.signal_decay)?;
    let mut eprop = Eprop::boxed(config.objective(), signal).with_chunk(batch.steps());
    let mut records = Vec::new();
    eprop.estimate_observed(network, &batch, &mut |record| records.push(record));
    let record = records.first().context("a sequence has at least one step")?;
    let layer = &record.layers[0];
    let dt_ms = config.network.dt_ms;

    let mut panels = vec![input_panel(&batch, config), neuron_panel(layer, config)];
    panels.extend(learning_panels(layer, dt_ms));
    panels.extend(output_panels(record, &batch, config));
    let title = match config.task {
        TaskName::CharacterModel => "Characters of the test text after training",
        TaskName::CopyRepeat => "Copy-repeat after training",
        TaskName::PatternGeneration => "Pattern generation after training",
        TaskName::SpokenDigits => "A recording of the test split after training",
    };
    Ok(figure(folder.file("activity.svg"), title, "time (ms)", &panels)?)
}

/// The first sequence of a batch, without its padding.
fn first_sequence(batch: &Batch) -> Batch {
    let length = batch.lengths()[0].max(1);
    let cut = |tensor: &Tensor<3>| tensor.clone().narrow(0, 0, 1).narrow(1, 0, length);
    let weights = batch.weights().narrow(0, 0, 1).narrow(1, 0, length);
    Batch::new(cut(batch.inputs()), cut(batch.targets())).with_mask(weights)
}

fn input_panel(batch: &Batch, config: &RunConfig) -> Panel {
    let inputs = values(batch.inputs());
    let count = batch.inputs().dims()[2];
    let dt_ms = config.network.dt_ms;
    match config.task {
        TaskName::CharacterModel | TaskName::CopyRepeat | TaskName::PatternGeneration => {
            Panel::Raster(Raster::from_steps("Inputs", "input", dt_ms, &inputs, count as u32))
        }
        TaskName::SpokenDigits => {
            // The mean of the bands tells where in the recording something is said.
            let mean: Vec<f32> =
                inputs.chunks(count).map(|row| row.iter().sum::<f32>() / count as f32).collect();
            let series = vec![Series::sampled("mean of all features", dt_ms, &mean)];
            Panel::Lines(Lines::new("Inputs", "z-score", series))
        }
    }
}

fn neuron_panel(layer: &LayerRecord, config: &RunConfig) -> Panel {
    let outputs = values(&layer.outputs);
    let count = layer.outputs.dims()[2];
    let dt_ms = config.network.dt_ms;
    if outputs.iter().all(|&z| z == 0.0 || z == 1.0) {
        return Panel::Raster(Raster::from_steps("Neurons", "neuron", dt_ms, &outputs, count as u32));
    }
    let shown = (0..count.min(4)).map(|unit| {
        let y: Vec<f32> = outputs.iter().skip(unit).step_by(count).copied().collect();
        Series::sampled(format!("unit {unit}"), dt_ms, &y)
    });
    Panel::Lines(Lines::new("Units", "output", shown.collect()))
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

fn output_panels(record: &ChunkRecord, batch: &Batch, config: &RunConfig) -> Vec<Panel> {
    let outputs = values(&record.outputs);
    let targets = values(batch.targets());
    let count = record.outputs.dims()[2];
    let dt_ms = config.network.dt_ms;
    let column = |values: &[f32], output: usize| -> Vec<f32> {
        values.iter().skip(output).step_by(count).copied().collect()
    };
    match config.task {
        TaskName::PatternGeneration => (0..count)
            .map(|output| {
                let (y, target) = (column(&outputs, output), column(&targets, output));
                Panel::Lines(Lines::output_and_target(format!("Output {output}"), "y", dt_ms, &y, &target))
            })
            .collect(),
        TaskName::CopyRepeat => (0..count.min(3))
            .map(|output| {
                let y: Vec<f32> = column(&outputs, output).iter().map(|y| 1.0 / (1.0 + (-y).exp())).collect();
                let title = format!("Bit {output}");
                Panel::Lines(Lines::output_and_target(
                    title,
                    "probability",
                    dt_ms,
                    &y,
                    &column(&targets, output),
                ))
            })
            .collect(),
        TaskName::CharacterModel => {
            let logarithms = values(&(log_softmax(record.outputs.clone(), 2)));
            let bits = logarithms.chunks(count).zip(targets.chunks(count)).map(|(row, target)| {
                let next = target.iter().position(|&target| target == 1.0).unwrap_or(0);
                -row[next] / std::f32::consts::LN_2
            });
            let series = vec![Series::sampled("of the next character", dt_ms, &bits.collect::<Vec<_>>())];
            vec![Panel::Lines(Lines::new("Surprise", "bits", series))]
        }
        TaskName::SpokenDigits => {
            let digit = (0..count).find(|&class| targets[class] == 1.0).unwrap_or(0);
            let others = |row: &[f32]| {
                let others = row.iter().enumerate().filter(|(class, _)| *class != digit);
                others.map(|(_, &output)| output).fold(f32::NEG_INFINITY, f32::max)
            };
            let strongest: Vec<f32> = outputs.chunks(count).map(others).collect();
            let series = vec![
                Series::sampled(format!("the digit, {digit}"), dt_ms, &column(&outputs, digit)),
                Series::sampled("the largest other", dt_ms, &strongest).dashed(),
            ];
            vec![Panel::Lines(Lines::new("Outputs", "y", series))]
        }
    }
}
