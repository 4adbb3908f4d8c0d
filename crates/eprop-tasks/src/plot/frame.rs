//! What surrounds the data of a panel: header with legend, grid, axes and their labels.

use super::axis::{Axis, Tick};
use super::canvas::{Align, Canvas, Colour, Font};

/// Height of a row of the header.
const ROW: f64 = 19.0;
/// Length of a legend's sample, and what separates it from its name and the next sample.
const SAMPLE: f64 = 20.0;
const SAMPLE_GAP: f64 = 6.0;
const ENTRY_GAP: f64 = 16.0;
/// Distance between two lines of a label.
pub(super) const LINE: f64 = 14.0;
/// Longest name of a legend.
const MAX_NAME: f64 = 260.0;

/// A name in a legend with a sample of its line.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) colour: Colour,
    pub(super) dashed: bool,
}

impl Entry {
    fn width(&self) -> f64 {
        SAMPLE + SAMPLE_GAP + Font::TICK.width(&self.name)
    }

    fn draw(&self, canvas: &mut Canvas<'_>, (x, y): (f64, f64)) {
        let pieces: &[(f64, f64)] =
            if self.dashed { &[(0.0, 0.3), (0.35, 0.65), (0.7, 1.0)] } else { &[(0.0, 1.0)] };
        for (from, to) in pieces {
            let ends = ((x + from * SAMPLE, y), (x + to * SAMPLE, y));
            canvas.line(ends.0, ends.1, self.colour, 2.0);
        }
        canvas.text(&self.name, (x + SAMPLE + SAMPLE_GAP, y), Font::TICK, Align::Left);
    }
}

/// A panel's title with the legend at its right, or on rows of its own where it is too long.
pub(super) struct Header {
    title: String,
    rows: Vec<Vec<Entry>>,
    beside_title: bool,
}

impl Header {
    pub(super) fn new(title: &str, entries: Vec<Entry>, width: f64) -> Self {
        let title = Font::HEADING.fitted(title, width);
        let entries: Vec<Entry> = entries
            .into_iter()
            .map(|entry| Entry { name: Font::TICK.fitted(&entry.name, MAX_NAME), ..entry })
            .collect();
        let needed = row_width(&entries) + Font::HEADING.width(&title) + ENTRY_GAP;
        let mut rows = vec![Vec::new()];
        for entry in entries {
            let last = rows.len() - 1;
            if !rows[last].is_empty() && row_width(&rows[last]) + ENTRY_GAP + entry.width() > width {
                rows.push(vec![entry]);
            } else {
                rows[last].push(entry);
            }
        }
        rows.retain(|row| !row.is_empty());
        Self { beside_title: needed <= width, title, rows }
    }

    pub(super) fn height(&self) -> f64 {
        let own_rows = if self.beside_title { 0 } else { self.rows.len() };
        let title_row = usize::from(self.beside_title || !self.title.is_empty());
        ROW * (title_row + own_rows) as f64 + 4.0
    }

    pub(super) fn draw(&self, canvas: &mut Canvas<'_>, left: f64, top: f64, width: f64) {
        let mut y = top + ROW / 2.0;
        canvas.text(&self.title, (left, y), Font::HEADING, Align::Left);
        if !self.beside_title && !self.title.is_empty() {
            y += ROW;
        }
        for row in &self.rows {
            let mut x = if self.beside_title { left + width - row_width(row) } else { left };
            for entry in row {
                entry.draw(canvas, (x, y));
                x += entry.width() + ENTRY_GAP;
            }
            y += ROW;
        }
    }
}

fn row_width(entries: &[Entry]) -> f64 {
    let gaps = ENTRY_GAP * entries.len().saturating_sub(1) as f64;
    entries.iter().map(Entry::width).sum::<f64>() + gaps
}

/// A y axis's name for a frame of this height, on two lines where one is too short. It may stand out
/// by the height of the header.
pub(super) fn label_lines(label: &str, height: f64) -> Vec<String> {
    let length = height + ROW;
    let middle = label.len() / 2;
    let space = label.match_indices(' ').map(|(i, _)| i).min_by_key(|i| i.abs_diff(middle));
    match space {
        Some(space) if Font::LABEL.width(label) > length => {
            [&label[..space], &label[space + 1..]].map(|line| Font::LABEL.fitted(line, length)).into()
        }
        _ => vec![Font::LABEL.fitted(label, length)],
    }
}

/// The rectangle that the data of a panel fill.
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Frame {
    /// The point at places from 0 to 1 along the axes, y upwards.
    pub(super) fn at(&self, x_place: f64, y_place: f64) -> (f64, f64) {
        (self.left + x_place * self.width, self.top + (1.0 - y_place) * self.height)
    }

    /// The point of a value, or nothing where it cannot be drawn.
    pub(super) fn project(&self, axes: (&Axis, &Axis), (x, y): (f64, f64)) -> Option<(f64, f64)> {
        Some(self.at(axes.0.place(x)?, axes.1.place(y)?))
    }

    pub(super) fn draw_grid(&self, canvas: &mut Canvas<'_>, x_ticks: &[Tick], y_ticks: &[Tick]) {
        for tick in x_ticks {
            let (from, to) = (self.at(tick.place, 0.0), self.at(tick.place, 1.0));
            canvas.line(from, to, Colour::GRID, 1.0);
        }
        for tick in y_ticks {
            let (from, to) = (self.at(0.0, tick.place), self.at(1.0, tick.place));
            canvas.line(from, to, Colour::GRID, 1.0);
        }
    }

    /// The lower and left edge, and the labels of the y axis.
    pub(super) fn draw_axes(&self, canvas: &mut Canvas<'_>, y_ticks: &[Tick]) {
        canvas.line(self.at(0.0, 0.0), self.at(1.0, 0.0), Colour::MUTED, 1.0);
        canvas.line(self.at(0.0, 0.0), self.at(0.0, 1.0), Colour::MUTED, 1.0);
        for tick in y_ticks {
            let (x, y) = self.at(0.0, tick.place);
            canvas.line((x - 4.0, y), (x, y), Colour::MUTED, 1.0);
            canvas.text(&tick.label, (x - 7.0, y), Font::TICK, Align::Right);
        }
    }

    /// The y axis's name, its first line `distance` to the left of the frame.
    pub(super) fn draw_y_label(&self, canvas: &mut Canvas<'_>, lines: &[String], distance: f64) {
        let (x, y) = self.at(0.0, 0.5);
        for (i, line) in lines.iter().enumerate() {
            let at = (x - distance + i as f64 * LINE, y);
            canvas.upward_text(line, at, Font::LABEL, Align::Centre);
        }
    }

    /// Labels and name of the x axis below the frame.
    pub(super) fn draw_x_labels(&self, canvas: &mut Canvas<'_>, ticks: &[Tick], label: &str) {
        for tick in ticks {
            let (x, y) = self.at(tick.place, 0.0);
            canvas.line((x, y), (x, y + 4.0), Colour::MUTED, 1.0);
            canvas.text(&tick.label, (x, y + 13.0), Font::TICK, Align::Centre);
        }
        let (x, y) = self.at(0.5, 0.0);
        let label = Font::LABEL.fitted(label, self.width);
        canvas.text(&label, (x, y + 33.0), Font::LABEL, Align::Centre);
    }

    pub(super) fn draw_notice(&self, canvas: &mut Canvas<'_>, notice: &str) {
        canvas.text(notice, self.at(0.5, 0.5), Font::NOTICE, Align::Centre);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize) -> Vec<Entry> {
        let entry =
            |i: usize| Entry { name: format!("neuron {i}"), colour: Colour::of_series(i), dashed: false };
        (0..count).map(entry).collect()
    }

    #[test]
    fn a_short_legend_shares_the_title_row_and_a_long_one_wraps() {
        let beside = Header::new("learning signal", entries(3), 800.0);
        assert!(beside.beside_title);
        assert_eq!(beside.height(), ROW + 4.0);
        let below = Header::new("learning signal", entries(12), 800.0);
        assert!(!below.beside_title);
        assert_eq!(below.rows.len(), 2);
        assert!(below.rows.iter().all(|row| row_width(row) <= 800.0));
        assert_eq!(below.height(), 3.0 * ROW + 4.0);
    }

    #[test]
    fn a_long_label_takes_two_lines() {
        assert_eq!(label_lines("loss (nat)", 110.0), ["loss (nat)"]);
        let two = label_lines("membrane potential (mV)", 110.0);
        assert_eq!(two, ["membrane", "potential (mV)"]);
        assert_eq!(label_lines("", 110.0), [""]);
    }

    #[test]
    fn a_frame_counts_y_upwards() {
        let frame = Frame { left: 10.0, top: 20.0, width: 100.0, height: 50.0 };
        assert_eq!(frame.at(0.0, 0.0), (10.0, 70.0));
        assert_eq!(frame.at(1.0, 1.0), (110.0, 20.0));
        let axes = (&Axis::linear(0.0, 2.0), &Axis::linear(0.0, 10.0));
        assert_eq!(frame.project(axes, (1.0, 5.0)), Some((60.0, 45.0)));
        assert_eq!(frame.project(axes, (1.0, f64::NAN)), None);
    }
}
