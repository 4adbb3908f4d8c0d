//! A learner in an endless stream, beside a copy that stopped to learn, as the example `streaming` prints them.

use std::fs;

use anyhow::{Context, Result, ensure};
use eprop_tasks::plot::{Lines, Panel, Scale, Series, figure};

use crate::book::{Book, Numbers};

/// Share of the steps in which the copy learns as well.
const HEARD: f64 = 0.25;
/// Points of the curve of the frequency.
const POINTS: usize = 200;

/// The errors of both, over the frequency that they have to follow.
pub(crate) fn draw(book: &Book) -> Result<()> {
    let path = book.repository().join("book/outputs/streaming.txt");
    let output = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let stretches = stretches(&output)?;
    let last = stretches.last().with_context(|| format!("{}: no row", path.display()))?;
    let middles: Vec<f64> = stretches.iter().map(|stretch| stretch.middle).collect();
    let series = |name: &str, part: fn(&Stretch) -> f64| {
        Series::new(name, &middles, &stretches.iter().map(part).collect::<Vec<_>>())
    };
    let errors =
        vec![series("learner", |stretch| stretch.learner), series("frozen copy", |stretch| stretch.frozen)];
    let errors = Lines::new("Mean squared error", "error", errors).with_scale(Scale::Log);

    let steps: Vec<f64> = (0..=POINTS).map(|point| last.end * point as f64 / POINTS as f64).collect();
    let until =
        |share: f64| steps.iter().copied().filter(|step| *step <= share * last.end).collect::<Vec<_>>();
    let course = |name: &str, steps: Vec<f64>| {
        Series::new(name, &steps, &steps.iter().map(|step| frequency(*step)).collect::<Vec<_>>())
    };
    let frequencies = vec![course("all", until(1.0)), course("heard by the copy", until(HEARD))];
    let frequencies = Lines::new("Frequency of the tone that drifts", "radians a step", frequencies);
    let title = "An oscillation that drifts, foretold ten steps ahead while it is learnt";
    figure(book.figure("streaming"), title, "step", &[Panel::Lines(errors), Panel::Lines(frequencies)])?;

    let mut numbers = Numbers::default();
    let most = stretches.iter().map(|stretch| stretch.frozen / stretch.learner).fold(0.0, f64::max);
    numbers.add("most", format!("{most:.0}"));
    numbers.add("live-bytes", last.live);
    book.write_numbers("streaming-figure", &numbers)
}

/// Some steps, and the mean errors in them.
struct Stretch {
    middle: f64,
    end: f64,
    learner: f64,
    frozen: f64,
    /// Live bytes at the end.
    live: f64,
}

/// The rows below the table's head: last step, both errors, live bytes, and the most that lived.
fn stretches(output: &str) -> Result<Vec<Stretch>> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for row in output.lines().skip(1) {
        let numbers = row.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>();
        let numbers = numbers.with_context(|| format!("not a row: {row}"))?;
        ensure!(numbers.len() == 5, "not a row: {row}");
        let start = stretches.last().map_or(0.0, |stretch| stretch.end);
        let [end, learner, frozen, live] = [numbers[0], numbers[1], numbers[2], numbers[3]];
        stretches.push(Stretch { middle: (start + end) / 2.0, end, learner, frozen, live });
    }
    Ok(stretches)
}

/// The derivative of the phase of the example's `oscillation`.
fn frequency(step: f64) -> f64 {
    1.0 / 6.0 + 0.03 * (step / 5000.0).sin()
}
