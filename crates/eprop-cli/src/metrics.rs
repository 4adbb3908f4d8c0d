//! How a network does on a part of a task's data.

use anyhow::{Result, ensure};
use burn_eprop::RecurrentModel;
use burn_eprop::estimator::mean_firing_rate;
use serde_json::{Map, Value, json};

use crate::cli::SplitName;
use crate::config::RunConfig;
use crate::divergence::DIVERGED;
use crate::task::{Task, decide};

/// How a network does on a part of the data.
#[derive(Debug, Clone)]
pub struct EvaluationMetrics {
    /// Mean over batches, weighted by their sequences' steps where the loss is a mean.
    pub loss: f64,
    /// `accuracy`, `bits` or `nmse`.
    pub score_name: &'static str,
    /// Mean over all sequences or, in tasks with classes, over all questions.
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
    /// Evaluates a model on a part of a task's data.
    pub fn measure<M: RecurrentModel>(
        model: &M,
        task: &dyn Task,
        config: &RunConfig,
        split: SplitName,
    ) -> Result<Self> {
        let objective = config.objective();
        let (mut loss, mut steps, mut score, mut scored) = (0.0, 0.0, 0.0, 0.0);
        let (mut spikes, mut sequences) = (0.0, 0);
        let mut all_steps = 0.0;
        let (names, judged) = task.judged();
        let mut counts = vec![vec![0; names.len()]; names.len()];
        for example in task.batches(split)? {
            let size = example.batch.size();
            let weight = match objective.reduction {
                burn_eprop::loss::Reduction::Mean => example.batch.loss_steps(),
                burn_eprop::loss::Reduction::Sum => 1.0,
            };
            let evaluation = model.evaluate(&example.batch, &objective);
            let finite = evaluation.loss.is_finite();
            ensure!(finite, "the network's loss is {}: {DIVERGED}", evaluation.loss);
            loss += weight * evaluation.loss;
            steps += weight;
            // In tasks with classes, each question counts alike, and otherwise each sequence.
            let count = if names.is_empty() { size } else { example.questions.len() } as f64;
            score += count * task.score(&evaluation.outputs, &example);
            scored += count;
            let length: usize = example.batch.lengths().iter().sum();
            spikes += length as f64 * mean_firing_rate(&evaluation.firing_rates);
            all_steps += length as f64;
            sequences += size;
            if !names.is_empty() {
                let decisions = decide(&evaluation.outputs, &example.questions);
                for (decision, question) in decisions.into_iter().zip(&example.questions) {
                    counts[judged(question.class)][judged(decision)] += 1;
                }
            }
        }
        Ok(Self {
            loss: loss / steps,
            score_name: task.score_name(),
            score: score / scored,
            firing_rate_hz: 1000.0 / config.network.dt_ms * spikes / all_steps,
            sequences,
            progress: task.progress(),
            confusion: (!names.is_empty()).then_some((names, counts)),
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
