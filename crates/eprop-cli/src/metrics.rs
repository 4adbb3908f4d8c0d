//! Metrics of a run, and of a trained network.

use std::fmt::Write;

use anyhow::{Result, ensure};
use burn_eprop::estimator::{evaluate, mean_firing_rate};
use burn_eprop::{Cell, Network};
use serde_json::{Map, Value, json};

use crate::cli::SplitName;
use crate::config::RunConfig;
use crate::task::Task;

/// One iteration of training.
#[derive(Debug, Clone)]
pub struct TrainingMetrics {
    /// Counted from 1.
    pub iteration: usize,
    /// The task's loss.
    pub loss: f64,
    /// The regulariser's loss.
    pub rate_loss: f64,
    /// Accuracy, bits or nmse.
    pub score: f64,
    /// Mean firing rate.
    pub firing_rate_hz: f64,
    /// Norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// How far a task that grows has come, after this iteration.
    pub progress: Vec<(&'static str, f64)>,
}

/// The metrics of all iterations as CSV.
pub fn to_csv(score_name: &str, rows: &[TrainingMetrics]) -> String {
    let mut csv = format!("iteration,loss,rate_loss,{score_name},firing_rate_hz,gradient_norm,learning_rate");
    let progress = rows.first().map(|row| row.progress.as_slice()).unwrap_or_default();
    progress.iter().for_each(|(name, _)| csv.extend([",", name]));
    csv.push('\n');
    for row in rows {
        let TrainingMetrics { iteration, loss, rate_loss, score, firing_rate_hz, gradient_norm, .. } = row;
        let rate = row.learning_rate;
        write!(csv, "{iteration},{loss},{rate_loss},{score},{firing_rate_hz},{gradient_norm},{rate}")
            .and_then(|()| row.progress.iter().try_for_each(|(_, number)| write!(csv, ",{number}")))
            .expect("strings can be written to");
        csv.push('\n');
    }
    csv
}

/// How a network does on a part of the data.
#[derive(Debug, Clone)]
pub struct EvaluationMetrics {
    /// Mean over batches, weighted by their sequences' steps where the loss is a mean.
    pub loss: f64,
    /// `accuracy`, `bits` or `nmse`.
    pub score_name: &'static str,
    /// Mean over all sequences.
    pub score: f64,
    /// Mean over neurons, sequences and time.
    pub firing_rate_hz: f64,
    /// Number of sequences.
    pub sequences: usize,
    /// How far a task that grows had come.
    pub progress: Vec<(&'static str, f64)>,
    /// For each class the number of decisions for each class, and the classes' names.
    pub confusion: Option<(Vec<String>, Vec<Vec<u32>>)>,
}

impl EvaluationMetrics {
    /// Evaluates a network on a part of a task's data.
    pub fn measure<C: Cell>(
        network: &Network<C>,
        task: &dyn Task,
        config: &RunConfig,
        split: SplitName,
    ) -> Result<Self> {
        let objective = config.objective();
        let (mut loss, mut steps, mut score, mut spikes, mut sequences) = (0.0, 0.0, 0.0, 0.0, 0);
        let mut all_steps = 0.0;
        let mut confusion = None;
        for example in task.batches(split)? {
            let size = example.batch.size();
            let weight = match objective.reduction {
                burn_eprop::loss::Reduction::Mean => example.batch.loss_steps(),
                burn_eprop::loss::Reduction::Sum => 1.0,
            };
            let evaluation = evaluate(network, &example.batch, &objective);
            let finite = evaluation.loss.is_finite();
            ensure!(finite, "the network's loss is {}", evaluation.loss);
            loss += weight * evaluation.loss;
            steps += weight;
            score += size as f64 * task.score(&evaluation.outputs, &example);
            let length: usize = example.batch.lengths().iter().sum();
            spikes += length as f64 * mean_firing_rate(&evaluation.firing_rates);
            all_steps += length as f64;
            sequences += size;
            if let Some((names, decisions)) = task.decisions(&evaluation.outputs, &example) {
                let (_, counts) = confusion.get_or_insert_with(|| {
                    let counts = vec![vec![0; names.len()]; names.len()];
                    (names, counts)
                });
                for (decision, &class) in decisions.into_iter().zip(&example.classes) {
                    counts[class][decision] += 1;
                }
            }
        }
        Ok(Self {
            loss: loss / steps,
            score_name: task.score_name(),
            score: score / sequences as f64,
            firing_rate_hz: 1000.0 / config.network.dt_ms * spikes / all_steps,
            sequences,
            progress: task.progress(),
            confusion,
        })
    }

    /// One JSON object.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("loss".into(), json!(self.loss));
        object.insert(self.score_name.into(), json!(self.score));
        object.insert("firing_rate_hz".into(), json!(self.firing_rate_hz));
        object.insert("sequences".into(), json!(self.sequences));
        object.extend(self.progress.iter().map(|(name, number)| ((*name).into(), json!(number))));
        Value::Object(object)
    }

    /// One line.
    pub fn to_line(&self) -> String {
        let Self { loss, score_name, score, firing_rate_hz, sequences, .. } = self;
        format!(
            "loss {loss:.4}, {score_name} {score:.4}, firing rate {firing_rate_hz:.1} Hz, {sequences} sequences"
        )
    }
}
