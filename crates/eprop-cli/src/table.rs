//! Numbers in named columns: what a run measures in each iteration, and its file.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};

/// Rows of numbers, the first of which counts the rows from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<f64>>,
}

impl Table {
    /// Without a row.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If it has not a number for each column.
    pub fn push(&mut self, row: Vec<f64>) {
        assert_eq!(row.len(), self.columns.len(), "a row has a number for each of {:?}", self.columns);
        self.rows.push(row);
    }

    /// The numbers of a column, if there is one of this name.
    pub fn column(&self, name: &str) -> Option<Vec<f64>> {
        let place = self.columns.iter().position(|column| column == name)?;
        Some(self.rows.iter().map(|row| row[place]).collect())
    }

    /// The first row's number in a column; NaN where there is none.
    pub fn first(&self, name: &str) -> f64 {
        self.number(self.rows.first(), name)
    }

    /// The last row's number in a column; NaN where there is none.
    pub fn last(&self, name: &str) -> f64 {
        self.number(self.rows.last(), name)
    }

    fn number(&self, row: Option<&Vec<f64>>, name: &str) -> f64 {
        let place = self.columns.iter().position(|column| column == name);
        row.zip(place).map_or(f64::NAN, |(row, place)| row[place])
    }

    /// As CSV, each number with all its digits.
    pub fn to_csv(&self) -> String {
        let mut csv = self.columns.join(",");
        csv.push('\n');
        for row in &self.rows {
            for (index, number) in row.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                write!(csv, "{comma}{number}").expect("strings can be written to");
            }
            csv.push('\n');
        }
        csv
    }

    /// Reads what [`to_csv`](Self::to_csv) wrote.
    ///
    /// # Errors
    ///
    /// If it is damaged.
    pub fn from_csv(csv: &str) -> Result<Self> {
        let mut lines = csv.lines();
        let header = lines.next().context("there are no columns")?;
        let mut table = Self::new(header.split(','));
        for (index, line) in lines.enumerate() {
            let row: Vec<f64> = line
                .split(',')
                .map(str::parse)
                .collect::<Result<_, _>>()
                .with_context(|| format!("row {} has something else than numbers", index + 1))?;
            let columns = table.columns.len();
            ensure!(row.len() == columns, "row {} has {} of {columns} columns", index + 1, row.len());
            ensure!(row[0] == (index + 1) as f64, "row {} is missing", index + 1);
            table.rows.push(row);
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_their_file() {
        let mut table = Table::new(["iteration", "loss", "error"]);
        table.push(vec![1.0, 1.0 / 3.0, 1e-17]);
        table.push(vec![2.0, 1e30, 0.25]);
        let csv = table.to_csv();
        assert_eq!(Table::from_csv(&csv).unwrap(), table);
        assert_eq!(table.column("error"), Some(vec![1e-17, 0.25]));
        assert_eq!((table.column("other"), table.last("loss"), table.len()), (None, 1e30, 2));
        assert_eq!(table.first("loss"), 1.0 / 3.0);
        assert!(table.last("other").is_nan() && table.first("other").is_nan());
        for damaged in
            [csv.replace("\n2,", "\n3,"), csv.replace(",0.25", ""), csv.replace("1,", "one,"), "".into()]
        {
            assert!(Table::from_csv(&damaged).is_err(), "{damaged}");
        }
    }
}
