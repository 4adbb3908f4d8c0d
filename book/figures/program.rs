//! Programs whose output the book shows.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::book::{Book, Numbers};

/// A command of cargo, which is run in the repository.
pub(crate) struct Program {
    /// Its name in the book.
    pub(crate) name: &'static str,
    /// Whether it takes more than two minutes, or needs recordings.
    pub(crate) long: bool,
    /// What follows `cargo run --release`; `FSDD` stands for the folder of recordings, and `OUT` for that of the run.
    arguments: &'static str,
    /// Figures in the run's folder, and their names in the book.
    figures: &'static [(&'static str, &'static str)],
}

impl Program {
    const fn example(name: &'static str, arguments: &'static str) -> Self {
        Self { name, long: false, arguments, figures: &[] }
    }

    const fn eprop(
        name: &'static str,
        arguments: &'static str,
        figures: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { name, long: false, arguments, figures }
    }

    const fn long(self) -> Self {
        Self { long: true, ..self }
    }
}

/// All of them, in the book's order.
pub(crate) const PROGRAMS: &[Program] = &[
    Program::example("burn-project", "--example burn-project"),
    Program::example("first-steps", "--example first-steps"),
    Program::eprop("gradcheck", "-- gradcheck tests/fixtures/alif_seed1.safetensors", &[]),
    Program::eprop(
        "align-random",
        "-- align pattern-generation --signal random --out OUT",
        &[("alignment.svg", "align-random")],
    ),
    Program::eprop(
        "align-symmetric",
        "-- align pattern-generation --signal symmetric --out OUT",
        &[("alignment.svg", "align-symmetric")],
    ),
    Program::eprop(
        "pattern",
        "-- train --out OUT",
        &[("learning_curve.svg", "pattern-curve"), ("activity.svg", "pattern-activity")],
    ),
    Program::eprop(
        "evidence",
        "-- train evidence-accumulation --out OUT",
        &[("activity.svg", "evidence-activity")],
    )
    .long(),
    Program::eprop(
        "digits",
        "-- train spoken-digits --data FSDD --cell lstm --out OUT",
        &[("confusion_matrix.svg", "digits-confusion"), ("learning_curve.svg", "digits-curve")],
    )
    .long(),
    Program::example("linear-control", "--example linear-control -- FSDD").long(),
    Program::eprop(
        "arm",
        "-- train arm-reaching --out OUT",
        &[("trajectory.svg", "arm-path"), ("one_shot.svg", "arm-trial")],
    )
    .long(),
    Program::eprop("sines", "-- train sine-regression --out OUT", &[]).long(),
    Program::example("streaming", "--example streaming"),
    Program::example("fine-tune-on-device", "--example fine-tune-on-device -- --data FSDD").long(),
    Program::example("device-switch", "--example device-switch"),
    Program::example("own-cell", "--example own-cell"),
    Program::example("own-cell-2", "--example own-cell -- 2").long(),
    Program::example("own-cell-3", "--example own-cell -- 3").long(),
    Program::example("own-signal", "--example own-signal"),
];

impl Program {
    /// Runs it, and keeps what it printed, how long it took and its figures.
    ///
    /// # Errors
    ///
    /// If it fails, or recordings are needed and missing.
    pub(crate) fn run(&self, book: &Book) -> Result<()> {
        let out = book.repository().join("runs/book").join(self.name);
        if self.arguments.contains("OUT") && out.exists() {
            fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
        let recordings = || std::env::var("EPROP_FSDD").context("EPROP_FSDD must point to recordings");
        let place = |word: &str| match word {
            "OUT" => Ok(out.display().to_string()),
            "FSDD" => recordings(),
            word => Ok(word.to_owned()),
        };
        let arguments = self.arguments.split(' ').map(place).collect::<Result<Vec<_>>>()?;
        build(book, &arguments)?;
        let start = Instant::now();
        let output = cargo_run(book, &arguments)?;
        let mut numbers = Numbers::default();
        numbers.add("seconds", start.elapsed().as_secs().max(1));
        book.write_numbers(self.name, &numbers)?;
        let output = output.replace(&format!("{}/", book.repository().display()), "");
        book.write_output(self.name, &output)?;
        for (file, name) in self.figures {
            let (from, to) = (out.join(file), book.figure(name));
            fs::copy(&from, &to)
                .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        }
        Ok(())
    }
}

/// Builds what `cargo run --release` with these arguments runs, so that the time that it takes is its own.
fn build(book: &Book, arguments: &[String]) -> Result<()> {
    let of_cargo = arguments.split(|argument| argument == "--").next().unwrap_or_default();
    cargo(book, "build", of_cargo).map(drop)
}

/// What `cargo run --release` with these arguments prints.
pub(crate) fn cargo_run(book: &Book, arguments: &[String]) -> Result<String> {
    cargo(book, "run", arguments)
}

fn cargo(book: &Book, command: &str, arguments: &[String]) -> Result<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([command, "--release", "--quiet"]).args(arguments).current_dir(book.repository());
    let output = cargo.stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    ensure!(output.status.success(), "cargo {command} {} failed", arguments.join(" "));
    String::from_utf8(output.stdout).context("the output is no text")
}
