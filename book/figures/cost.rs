//! Time and memory of a training step, as `eprop bench` measures them.

use anyhow::{Context, Result};
use eprop_tasks::plot::{Lines, Panel, Scale, Series, figure};
use serde_json::Value;

use crate::book::{Book, Numbers, write};
use crate::program::Executable;

const STEPS: [usize; 5] = [250, 500, 1000, 2000, 4000];
const NEURONS: [usize; 4] = [50, 100, 200, 400];
const CHUNKS: [usize; 7] = [25, 50, 100, 200, 400, 800, 1600];
/// Methods by name, and how `eprop bench` is asked for them.
const METHODS: [(&str, &str); 3] = [
    ("e-prop", "--method eprop"),
    ("BPTT by kernels", "--method bptt"),
    ("BPTT by autodiff", "--method bptt-autodiff"),
];
const DEVICES: [(&str, &str); 4] = [
    ("e-prop on Flex", "--device flex --method eprop"),
    ("e-prop on NdArray", "--device ndarray --method eprop"),
    ("BPTT on Flex", "--device flex --method bptt"),
    ("BPTT on NdArray", "--device ndarray --method bptt"),
];

/// Over the length of the sequence and the number of neurons.
pub(crate) fn draw(book: &Book) -> Result<()> {
    let bench = Bench::new(book, "")?;
    let over_steps = bench.sweep(&METHODS, "T", "--neurons 100 --steps", &STEPS)?;
    let over_neurons = bench.sweep(&METHODS, "N", "--steps 1000 --neurons", &NEURONS)?;
    let title = "A training step of an ALIF network, 40 inputs, batch 8";
    over_steps.draw(book, "cost-steps", &format!("{title}, N = 100"), "steps T")?;
    over_neurons.draw(book, "cost-neurons", &format!("{title}, T = 1000"), "neurons N")?;
    let table = format!("{}{}{}", over_steps.head(), over_steps.rows(), over_neurons.rows());
    write(&book.results("cost").join("table.md"), &table)?;
    let mut numbers = Numbers::default();
    over_steps.add_to(&mut numbers);
    over_neurons.add_to(&mut numbers);
    book.write_numbers("cost", &numbers)
}

/// Over the length of the sequence, on both CPU devices.
pub(crate) fn draw_devices(book: &Book) -> Result<()> {
    let sweep =
        Bench::new(book, "eprop-cli/ndarray")?.sweep(&DEVICES, "T", "--neurons 100 --steps", &STEPS)?;
    sweep.draw(book, "devices", "A training step of an ALIF network, 40-100-2, batch 8", "steps T")?;
    write(&book.results("devices").join("table.md"), &format!("{}{}", sweep.head(), sweep.rows()))
}

/// Over the length of a chunk.
pub(crate) fn draw_chunks(book: &Book) -> Result<()> {
    let bench = Bench::new(book, "")?;
    let values = |chunk: &usize| bench.measure(&format!("--steps 4000 --chunk {chunk}"));
    let measured = CHUNKS.iter().map(values).collect::<Result<Vec<_>>>()?;
    let own = bench.measure("--steps 4000")?;
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

/// `eprop bench`.
struct Bench<'a> {
    book: &'a Book,
    eprop: Executable,
}

impl<'a> Bench<'a> {
    fn new(book: &'a Book, features: &str) -> Result<Self> {
        Ok(Self { book, eprop: Executable::build(book, "eprop", features)? })
    }

    fn measure(&self, flags: &str) -> Result<Cost> {
        let words = format!("bench --json --repeats 7 --batch 8 --cell alif {flags}");
        let arguments: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let answer = self.eprop.run(self.book, &arguments)?;
        let answer: Value = serde_json::from_str(&answer).context("bench prints JSON")?;
        let number = |name: &str| answer[name].as_f64().with_context(|| format!("bench has no {name}"));
        Ok(Cost { ms: number("ms_median")?, megabytes: number("peak_live_bytes")? / 1e6 })
    }

    /// Contestants take turns at each value.
    fn sweep(
        &self,
        contestants: &'static [(&'static str, &'static str)],
        symbol: &'static str,
        flag: &str,
        values: &'static [usize],
    ) -> Result<Sweep> {
        let at = |value: &usize| {
            let of = |(_, asked): &(&str, &str)| self.measure(&format!("{asked} {flag} {value}"));
            contestants.iter().map(of).collect::<Result<Vec<_>>>()
        };
        let costs = values.iter().map(at).collect::<Result<_>>()?;
        Ok(Sweep { contestants, symbol, values, costs })
    }
}

/// What contestants cost at each of some values.
struct Sweep {
    contestants: &'static [(&'static str, &'static str)],
    symbol: &'static str,
    values: &'static [usize],
    /// By value and contestant.
    costs: Vec<Vec<Cost>>,
}

impl Sweep {
    fn draw(&self, book: &Book, name: &str, title: &str, label: &str) -> Result<()> {
        let x: Vec<f64> = self.values.iter().map(|&value| value as f64).collect();
        let panel = |title: &str, unit: &str, part: fn(&Cost) -> f64| {
            let series = self.contestants.iter().enumerate().map(|(place, (name, _))| {
                let y: Vec<f64> = self.costs.iter().map(|costs| part(&costs[place])).collect();
                Series::new(*name, &x, &y)
            });
            Panel::Lines(Lines::new(title, unit, series.collect()).with_scale(Scale::Log))
        };
        let panels =
            [panel("Time", "ms", |cost| cost.ms), panel("Peak of live memory", "MB", |cost| cost.megabytes)];
        figure(book.figure(name), title, label, &panels)?;
        Ok(())
    }

    fn head(&self) -> String {
        let names: Vec<_> = self.contestants.iter().map(|(name, _)| *name).collect();
        format!("| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()))
    }

    fn rows(&self) -> String {
        let cell = |cost: &Cost| format!("{} ms, {} MB", rounded(cost.ms), rounded(cost.megabytes));
        let row = |(value, costs): (&usize, &Vec<Cost>)| {
            let cells: Vec<_> = costs.iter().map(cell).collect();
            format!("| {} = {value} | {} |\n", self.symbol, cells.join(" | "))
        };
        self.values.iter().zip(&self.costs).map(row).collect()
    }

    /// As `METHOD-SYMBOL-VALUE-ms` and `-mb`.
    fn add_to(&self, numbers: &mut Numbers) {
        for (value, costs) in self.values.iter().zip(&self.costs) {
            for ((_, asked), cost) in self.contestants.iter().zip(costs) {
                let method = asked.rsplit(' ').next().unwrap_or(asked);
                cost.add_to(numbers, &format!("{method}-{}-{value}", self.symbol));
            }
        }
    }
}
