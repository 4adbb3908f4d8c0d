//! Scores on data that are not learnt from, while a run goes on.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::table::Table;

/// When a network is looked at, and how good it is to become.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationSettings {
    /// Iterations from one look to the next.
    pub every: usize,
    /// The score on the validation split at which the task counts as solved.
    pub criterion: f64,
    /// Whether training ends there.
    pub stop: bool,
}

impl ValidationSettings {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// If one is out of range.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.every > 0, "validation.every is 0, but must be at least 1");
        let criterion = self.criterion;
        ensure!(criterion.is_finite(), "validation.criterion is {criterion}, but must be finite");
        Ok(())
    }

    /// The iteration at which the criterion was met first, if it was.
    pub fn solved_at(&self, score_name: &str, metrics: &Table) -> Option<usize> {
        let scores = metrics.column(&column(score_name))?;
        let met = |&score: &f64| match score_name {
            "accuracy" => score >= self.criterion,
            _ => score <= self.criterion,
        };
        scores.iter().position(met).map(|place| place + 1)
    }
}

/// The name of the column that has the last score before or at each iteration.
pub fn column(score_name: &str) -> String {
    format!("validation_{score_name}")
}

/// The name of a run's score, from the columns of its metrics.
pub fn score_name(metrics: &Table) -> &str {
    metrics.columns().get(SCORE).map_or("", String::as_str)
}

/// Where a run's metrics have its score.
const SCORE: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accuracy_must_rise_and_an_error_fall_to_the_criterion() {
        let settings = ValidationSettings { every: 1, criterion: 0.5, stop: false };
        let solved_at = |name: &str, scores: &[f64]| {
            let mut metrics = Table::new(["iteration".to_owned(), column(name)]);
            scores.iter().enumerate().for_each(|(row, &score)| metrics.push(vec![row as f64 + 1.0, score]));
            settings.solved_at(name, &metrics)
        };
        assert_eq!(solved_at("accuracy", &[f64::NAN, 0.4, 0.5, 0.3]), Some(3));
        assert_eq!(solved_at("accuracy", &[0.4]), None);
        assert_eq!(solved_at("bits", &[f64::NAN, 0.6, 0.4]), Some(3));
        assert_eq!(settings.solved_at("nmse", &Table::new(["iteration"])), None);
    }
}
