//! What cells of one's own come to: accuracy and time of each method in the example `own-cell`.

use std::fs;

use anyhow::{Context, Result, ensure};
use eprop_tasks::plot::{Lines, Panel, Series, figure};

use crate::book::Book;

/// Accuracy of a guess.
const CHANCE: f64 = 0.5;

/// A panel for each cell, with a line for each method at the time that it took: from chance up to its accuracy.
pub(crate) fn draw(book: &Book) -> Result<()> {
    let path = book.repository().join("book/outputs/own-cell.txt");
    let output = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let cells = cells(&output)?;
    ensure!(!cells.is_empty(), "{}: no cell", path.display());
    let longest = cells.iter().flat_map(|cell| &cell.runs).map(|run| run.seconds).fold(0.0, f64::max);
    let panels: Vec<_> = cells.iter().map(|cell| cell.panel(1.05 * longest)).collect();
    let title = "Cells of one's own: evidence accumulation, accuracy after 150 updates";
    figure(book.figure("own-cell"), title, "time of training (s)", &panels)?;
    Ok(())
}

/// A cell, and what each method made of it.
struct Cell {
    name: String,
    runs: Vec<Run>,
}

struct Run {
    method: String,
    accuracy: f64,
    seconds: f64,
}

impl Cell {
    fn panel(&self, longest: f64) -> Panel {
        let chance = Series::new("chance", &[0.0, longest], &[CHANCE, CHANCE]).dashed();
        let line = |run: &Run| Series::new(&run.method, &[run.seconds, run.seconds], &[CHANCE, run.accuracy]);
        let series = [chance].into_iter().chain(self.runs.iter().map(line)).collect();
        Panel::Lines(Lines::new(&self.name, "accuracy", series))
    }
}

/// The rows between the table's head and the next empty line. A row that is indented is of the cell above it.
fn cells(output: &str) -> Result<Vec<Cell>> {
    let is_head = |line: &&str| line.split_whitespace().eq(["accuracy", "seconds"]);
    let rows = output.lines().skip_while(|line| !is_head(line)).skip(1);
    let mut cells: Vec<Cell> = Vec::new();
    for row in rows.take_while(|line| !line.trim().is_empty()) {
        let unknown = || format!("not a row: {row}");
        let (rest, seconds) = row.rsplit_once(' ').with_context(unknown)?;
        let (name, accuracy) = rest.trim_end().rsplit_once(' ').with_context(unknown)?;
        let name = name.trim_end();
        let method = match name.split_once(": ") {
            Some((cell, method)) => {
                cells.push(Cell { name: cell.to_owned(), runs: Vec::new() });
                method
            }
            None => name.trim_start(),
        };
        let number = |text: &str| text.parse::<f64>().with_context(unknown);
        let run = Run { method: method.to_owned(), accuracy: number(accuracy)?, seconds: number(seconds)? };
        cells.last_mut().with_context(unknown)?.runs.push(run);
    }
    Ok(cells)
}
