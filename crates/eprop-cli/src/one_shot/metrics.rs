//! The metrics of an outer loop, and their file.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};

/// Columns of the file, in the order of [`Row`]'s fields.
const COLUMNS: [&str; 11] = [
    "iteration",
    "loss",
    "rate_loss",
    "error_before",
    "error_after",
    "learner_rate_hz",
    "module_rate_hz",
    "gradient_norm",
    "learning_rate",
    "input_update_lr",
    "recurrent_update_lr",
];

/// One iteration of the outer loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    /// Counted from 1.
    pub(super) iteration: usize,
    /// The outer loss of the test trials.
    pub(super) loss: f64,
    /// The regularisers' losses.
    pub(super) rate_loss: f64,
    /// Mean square error in the training trials.
    pub(super) error_before: f64,
    /// Mean square error in the test trials, after one update.
    pub(super) error_after: f64,
    /// Mean rate of the learner.
    pub(super) learner_rate_hz: f64,
    /// Mean rate of the error module; 0 where it says nothing.
    pub(super) module_rate_hz: f64,
    /// Norm of all gradients together before clipping.
    pub(super) gradient_norm: f64,
    /// Learning rate of the outer loop.
    pub(super) learning_rate: f64,
    /// η of the input weights.
    pub(super) input_update_lr: f64,
    /// η of the recurrent weights.
    pub(super) recurrent_update_lr: f64,
}

impl Row {
    fn numbers(&self) -> [f64; COLUMNS.len()] {
        [
            self.iteration as f64,
            self.loss,
            self.rate_loss,
            self.error_before,
            self.error_after,
            self.learner_rate_hz,
            self.module_rate_hz,
            self.gradient_norm,
            self.learning_rate,
            self.input_update_lr,
            self.recurrent_update_lr,
        ]
    }

    /// What a person sees of it.
    pub(super) fn to_line(self) -> String {
        format!(
            "error before {:.4}  after one update {:.4}  rate {:.1} Hz, error module {:.1} Hz",
            self.error_before, self.error_after, self.learner_rate_hz, self.module_rate_hz
        )
    }
}

/// The metrics of all iterations as CSV.
pub(super) fn to_csv(rows: &[Row]) -> String {
    let mut csv = COLUMNS.join(",");
    csv.push('\n');
    for row in rows {
        for (index, number) in row.numbers().into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(csv, "{comma}{number}").expect("strings can be written to");
        }
        csv.push('\n');
    }
    csv
}

/// Reads what [`to_csv`] wrote.
///
/// # Errors
///
/// If it is damaged.
pub(super) fn from_csv(csv: &str) -> Result<Vec<Row>> {
    let mut lines = csv.lines();
    ensure!(lines.next() == Some(COLUMNS.join(",").as_str()), "metrics have other columns");
    let row = |(index, line): (usize, &str)| {
        let numbers: Vec<f64> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let numbers: [f64; COLUMNS.len()] = numbers.try_into().ok().context("another number of columns")?;
        let [
            iteration,
            loss,
            rate_loss,
            error_before,
            error_after,
            learner_rate_hz,
            module_rate_hz,
            gradient_norm,
            learning_rate,
            input_update_lr,
            recurrent_update_lr,
        ] = numbers;
        ensure!(iteration == (index + 1) as f64, "an iteration is missing");
        Ok(Row {
            iteration: index + 1,
            loss,
            rate_loss,
            error_before,
            error_after,
            learner_rate_hz,
            module_rate_hz,
            gradient_norm,
            learning_rate,
            input_update_lr,
            recurrent_update_lr,
        })
    };
    let rows = lines
        .enumerate()
        .map(|(index, line)| row((index, line)).with_context(|| format!("metrics, row {}", index + 1)));
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_come_back_from_their_file() {
        let row = |iteration: usize| Row {
            iteration,
            loss: 0.1 + iteration as f64 / 3.0,
            rate_loss: 1e-17,
            error_before: 0.25,
            error_after: 1.0 / 7.0,
            learner_rate_hz: 20.0,
            module_rate_hz: 0.0,
            gradient_norm: 1e30,
            learning_rate: 4e-3,
            input_update_lr: 5e-3,
            recurrent_update_lr: 5.1e-3,
        };
        let rows = vec![row(1), row(2)];
        let csv = to_csv(&rows);
        assert_eq!(from_csv(&csv).unwrap(), rows);
        assert!(from_csv(&csv.replace("\n2,", "\n3,")).is_err());
        assert!(from_csv(&csv[..csv.len() - 5].replace(",0.0051\n", "\n")).is_err());
        assert!(from_csv("").is_err());
    }
}
