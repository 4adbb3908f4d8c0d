//! Time and memory of a training step, as `eprop bench` measures them.

use anyhow::{Context, Result};
use eprop_tasks::plot::{Lines, Panel, Scale, Series, figure};
use serde_json::Value;

use crate::book::{Book, Numbers, write};
use crate::program::cargo_run;

const STEPS: [usize; 5] = [250, 500, 1000, 2000, 4000];
const NEURONS: [usize; 4] = [50, 100, 200, 400];
const CHUNKS: [usize; 7] = [25, 50, 100, 200, 400, 800, 1600];
const METHODS: [&str; 3] = ["eprop", "bptt", "bptt-autodiff"];
const COMMON: &str = "-- bench --json --repeats 3 --batch 8 --cell alif";

/// Over the length of the sequence and the number of neurons.
pub(crate) fn draw(book: &Book) -> Result<()> {
    let mut numbers = Numbers::default();
    let over_steps = sweep(book, "T", "--neurons 100 --steps", &STEPS, &mut numbers)?;
    let over_neurons = sweep(book, "N", "--steps 1000 --neurons", &NEURONS, &mut numbers)?;
    let title = "A training step of an ALIF network, 40 inputs, batch 8";
    over_steps.draw(book, "cost-steps", &format!("{title}, N = 100"), "steps T", &STEPS)?;
    over_neurons.draw(book, "cost-neurons", &format!("{title}, T = 1000"), "neurons N", &NEURONS)?;
    let table = format!("{HEAD}{}{}", over_steps.rows("T", &STEPS), over_neurons.rows("N", &NEURONS));
    write(&book.results("cost").join("table.md"), &table)?;
    book.write_numbers("cost", &numbers)
}

/// Over the length of a chunk.
pub(crate) fn draw_chunks(book: &Book) -> Result<()> {
    let values = |chunk: &usize| measure(book, &format!("{COMMON} --steps 4000 --chunk {chunk}"));
    let measured = CHUNKS.iter().map(values).collect::<Result<Vec<_>>>()?;
    let own = measure(book, &format!("{COMMON} --steps 4000"))?;
    let x: Vec<f64> = CHUNKS.iter().map(|&chunk| chunk as f64).collect();
    let panel = |title: &str, label: &str, part: fn(&Cost) -> f64| {
        let series = Series::new("e-prop", &x, &measured.iter().map(part).collect::<Vec<_>>());
        Panel::Lines(Lines::new(title, label, vec![series]))
    };
    let panels =
        [panel("Time", "ms", |cost| cost.ms), panel("Peak of live memory", "MB", |cost| cost.megabytes)];
    let title = "E-prop in chunks: ALIF 40-100-2, T = 4000, batch 8";
    figure(book.figure("chunk"), title, "steps of a chunk", &panels)?;
    let mut numbers = Numbers::default();
    for (chunk, cost) in CHUNKS.iter().zip(&measured) {
        cost.add_to(&mut numbers, &format!("chunk-{chunk}"));
    }
    own.add_to(&mut numbers, "own");
    book.write_numbers("chunk", &numbers)
}

/// Median time and peak of live memory.
struct Cost {
    ms: f64,
    megabytes: f64,
}

impl Cost {
    fn add_to(&self, numbers: &mut Numbers, name: &str) {
        numbers.add(&format!("{name}-ms"), rounded(self.ms));
        numbers.add(&format!("{name}-mb"), rounded(self.megabytes));
    }
}

fn rounded(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn measure(book: &Book, command: &str) -> Result<Cost> {
    let arguments: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let answer: Value = serde_json::from_str(&cargo_run(book, &arguments)?).context("bench prints JSON")?;
    let number = |name: &str| answer[name].as_f64().with_context(|| format!("bench has no {name}"));
    Ok(Cost { ms: number("ms_median")?, megabytes: number("peak_live_bytes")? / 1e6 })
}

/// What each method costs at each of some values.
struct Sweep(Vec<Vec<Cost>>);

const HEAD: &str = "| | e-prop | BPTT by kernels | BPTT by autodiff |\n|---|---|---|---|\n";

/// Methods take turns at each value.
fn sweep(book: &Book, symbol: &str, flag: &str, values: &[usize], numbers: &mut Numbers) -> Result<Sweep> {
    let mut costs: Vec<Vec<Cost>> = METHODS.iter().map(|_| Vec::new()).collect();
    for value in values {
        for (method, costs) in METHODS.iter().zip(&mut costs) {
            let cost = measure(book, &format!("{COMMON} --method {method} {flag} {value}"))?;
            cost.add_to(numbers, &format!("{method}-{symbol}-{value}"));
            costs.push(cost);
        }
    }
    Ok(Sweep(costs))
}

impl Sweep {
    fn draw(&self, book: &Book, name: &str, title: &str, label: &str, values: &[usize]) -> Result<()> {
        let x: Vec<f64> = values.iter().map(|&value| value as f64).collect();
        let panel = |title: &str, unit: &str, part: fn(&Cost) -> f64| {
            let names = ["e-prop", "BPTT by kernels", "BPTT by autodiff"].iter().zip(&self.0);
            let series = names
                .map(|(name, costs)| Series::new(*name, &x, &costs.iter().map(part).collect::<Vec<_>>()));
            Panel::Lines(Lines::new(title, unit, series.collect()).with_scale(Scale::Log))
        };
        let panels =
            [panel("Time", "ms", |cost| cost.ms), panel("Peak of live memory", "MB", |cost| cost.megabytes)];
        figure(book.figure(name), title, label, &panels)?;
        Ok(())
    }

    fn rows(&self, symbol: &str, values: &[usize]) -> String {
        let cell = |cost: &Cost| format!("{} ms, {} MB", rounded(cost.ms), rounded(cost.megabytes));
        let row = |place: usize, value: &usize| {
            let cells: Vec<_> = self.0.iter().map(|costs| cell(&costs[place])).collect();
            format!("| {symbol} = {value} | {} |\n", cells.join(" | "))
        };
        values.iter().enumerate().map(|(place, value)| row(place, value)).collect()
    }
}
