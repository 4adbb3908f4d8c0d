//! True against predicted classes.

use std::path::Path;

use super::PlotError;
use super::canvas::{Align, Canvas, Colour, Font, save};

/// Upper end of the columns' labels.
const LABELS_TOP: f64 = 76.0;
const RIGHT: f64 = 76.0;
const BOTTOM: f64 = 24.0;
/// Least width of the page between the margins.
const LEAST_WIDTH: f64 = 240.0;
/// Cells below this size show no count.
const LEAST_COUNTED_CELL: f64 = 24.0;

/// Writes an SVG of the matrix `counts`, shape [true, predicted], of the classes `labels`. A cell is
/// the darker, the larger its share of its row; the share on the diagonal stands at the right.
///
/// # Panics
/// If `counts` is not one square of the labels.
pub fn confusion_matrix(
    path: impl AsRef<Path>,
    title: &str,
    labels: &[&str],
    counts: &[u32],
) -> Result<(), PlotError> {
    assert_eq!(counts.len(), labels.len().pow(2), "counts for {} labels", labels.len());
    let matrix = Matrix::new(labels, counts);
    let size = matrix.page();
    save(path.as_ref(), size, |canvas| {
        let heading = Font::TITLE.fitted(title, size.0 - 20.0);
        canvas.text(&heading, (size.0 / 2.0, 22.0), Font::TITLE, Align::Centre);
        if matrix.total() == 0 {
            canvas.text("no data", (size.0 / 2.0, size.1 / 2.0), Font::NOTICE, Align::Centre);
        } else {
            matrix.draw(canvas);
        }
    })
}

/// The matrix and its place on the page.
struct Matrix<'a> {
    labels: Vec<String>,
    counts: &'a [u32],
    label_font: Font,
    label_width: f64,
    cell: f64,
    left: f64,
    top: f64,
}

impl<'a> Matrix<'a> {
    fn new(labels: &[&str], counts: &'a [u32]) -> Self {
        let cell = (520.0 / labels.len().max(1) as f64).clamp(9.0, 64.0);
        let label_font = Font::new((0.8 * cell).min(12.0), Colour::INK, false);
        let labels: Vec<String> = labels.iter().map(|l| label_font.fitted(l, 90.0)).collect();
        let label_width = labels.iter().map(|l| label_font.width(l)).fold(0.0, f64::max);
        let side = cell * labels.len() as f64;
        let label_height = if label_width > cell { label_width } else { 12.0 };
        Self {
            labels,
            counts,
            label_font,
            label_width,
            cell,
            left: label_width + 48.0 + (LEAST_WIDTH - side).max(0.0) / 2.0,
            top: LABELS_TOP + label_height + 8.0,
        }
    }

    fn side(&self) -> f64 {
        self.cell * self.labels.len() as f64
    }

    /// Width and height of the page.
    fn page(&self) -> (f64, f64) {
        let width = self.label_width + 48.0 + self.side().max(LEAST_WIDTH) + RIGHT;
        (width, self.top + self.side() + BOTTOM)
    }

    fn row(&self, truth: usize) -> &[u32] {
        let classes = self.labels.len();
        &self.counts[truth * classes..(truth + 1) * classes]
    }

    fn total(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    fn draw(&self, canvas: &mut Canvas<'_>) {
        let classes = self.labels.len();
        let correct: u64 = (0..classes).map(|k| u64::from(self.row(k)[k])).sum();
        let total = self.total();
        let share = 100.0 * correct as f64 / total as f64;
        let summary = format!("{correct} of {total} correct ({share:.1} %)");
        let half = self.side() / 2.0;
        canvas.text(&summary, (self.page().0 / 2.0, 43.0), Font::TICK, Align::Centre);
        canvas.text("predicted", (self.left + half, 66.0), Font::LABEL, Align::Centre);
        let truth_x = self.left - self.label_width - 26.0;
        canvas.upward_text("true", (truth_x, self.top + half), Font::LABEL, Align::Centre);
        let recall = (self.left + self.side() + 10.0, self.top - 14.0);
        canvas.text("recall", recall, Font::TICK, Align::Left);
        for class in 0..classes {
            self.draw_column_label(canvas, class);
            self.draw_row(canvas, class);
        }
        self.draw_outline(canvas);
    }

    /// Reading upwards where a label is wider than its column.
    fn draw_column_label(&self, canvas: &mut Canvas<'_>, class: usize) {
        let label = &self.labels[class];
        let x = self.left + (class as f64 + 0.5) * self.cell;
        if self.label_width > self.cell {
            canvas.upward_text(label, (x, self.top - 6.0), self.label_font, Align::Left);
        } else {
            canvas.text(label, (x, self.top - 14.0), self.label_font, Align::Centre);
        }
    }

    fn draw_row(&self, canvas: &mut Canvas<'_>, truth: usize) {
        let row = self.row(truth);
        let total: u64 = row.iter().copied().map(u64::from).sum();
        let (left, top) = (self.left, self.top + truth as f64 * self.cell);
        let y = top + self.cell / 2.0;
        canvas.text(&self.labels[truth], (left - 8.0, y), self.label_font, Align::Right);
        for (predicted, &count) in row.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let share = f64::from(count) / total as f64;
            let corner = (left + predicted as f64 * self.cell, top);
            // Even a single error stands out from the empty cells.
            let colour = Colour::PAPER.mixed(Colour::BLUE, 0.12 + 0.88 * share);
            canvas.rect(corner, (self.cell, self.cell), colour);
            if self.cell >= LEAST_COUNTED_CELL {
                let ink = if share > 0.5 { Colour::PAPER } else { Colour::INK };
                let text = count.to_string();
                let size = (1.4 * self.cell / text.len() as f64).min(12.0);
                let font = Font::new(size, ink, false);
                canvas.text(&text, (corner.0 + self.cell / 2.0, y), font, Align::Centre);
            }
        }
        if total > 0 {
            let recall = format!("{:.1} %", 100.0 * f64::from(row[truth]) / total as f64);
            let font = Font::new(self.label_font.size.min(11.0), Colour::MUTED, false);
            let x = left + self.side() + 10.0;
            canvas.text(&recall, (x, y), font, Align::Left);
        }
    }

    fn draw_outline(&self, canvas: &mut Canvas<'_>) {
        let (left, top, side) = (self.left, self.top, self.side());
        let last = self.labels.len();
        for i in 0..=last {
            let offset = i as f64 * self.cell;
            let colour = if i == 0 || i == last { Colour::MUTED } else { Colour::GRID };
            canvas.line((left, top + offset), (left + side, top + offset), colour, 1.0);
            canvas.line((left + offset, top), (left + offset, top + side), colour, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(labels: &[&str], counts: &[u32]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("matrix.svg");
        confusion_matrix(&path, "digits", labels, counts).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn counts_shares_and_accuracy_are_written() {
        let svg = drawn(&["a", "b"], &[9, 1, 0, 10]);
        for text in ["19 of 20 correct (95.0 %)", "90.0 %", "100.0 %", "\n9\n", "\n10\n"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("\n0\n"), "empty cells stay empty");
    }

    #[test]
    fn without_counts_it_says_so() {
        assert!(drawn(&[], &[]).contains("no data"));
        assert!(drawn(&["a"], &[0]).contains("no data"));
    }

    #[test]
    #[should_panic(expected = "counts for 2 labels")]
    fn counts_must_be_square() {
        let _ = confusion_matrix("unused.svg", "", &["a", "b"], &[1, 2, 3]);
    }
}
