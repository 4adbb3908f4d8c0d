//! Programs whose output the book shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::book::{Book, Numbers};

/// A command, which is run in the repository.
pub(crate) struct Program {
    /// Its name in the book.
    pub(crate) name: &'static str,
    /// Whether it takes more than two minutes, or needs recordings.
    pub(crate) long: bool,
    /// `eprop` or the name of an example, and its arguments; see [`filled_in`].
    command: &'static str,
    /// Figures in the run's folder, and their names in the book.
    figures: &'static [(&'static str, &'static str)],
    /// Features beside the default.
    features: &'static str,
}

impl Program {
    const fn new(name: &'static str, command: &'static str) -> Self {
        Self { name, long: false, command, figures: &[], features: "" }
    }

    const fn with_features(self, features: &'static str) -> Self {
        Self { features, ..self }
    }

    const fn with_figures(self, figures: &'static [(&'static str, &'static str)]) -> Self {
        Self { figures, ..self }
    }

    const fn long(self) -> Self {
        Self { long: true, ..self }
    }
}

/// All of them, in the book's order.
pub(crate) const PROGRAMS: &[Program] = &[
    Program::new("burn-project", "burn-project"),
    Program::new("gradcheck", "eprop gradcheck tests/fixtures/alif_seed1.safetensors"),
    Program::new("align-random", "eprop align pattern-generation --signal random --out OUT")
        .with_figures(&[("alignment.svg", "align-random")]),
    Program::new("align-symmetric", "eprop align pattern-generation --signal symmetric --out OUT")
        .with_figures(&[("alignment.svg", "align-symmetric")]),
    Program::new("pattern", "eprop train --out OUT")
        .with_figures(&[("learning_curve.svg", "pattern-curve"), ("activity.svg", "pattern-activity")]),
    Program::new("evidence", "eprop train evidence-accumulation --out OUT")
        .with_figures(&[("activity.svg", "evidence-activity")])
        .long(),
    Program::new("digits", "eprop train spoken-digits --data FSDD --cell lstm --out OUT")
        .with_figures(&[("confusion_matrix.svg", "digits-confusion"), ("learning_curve.svg", "digits-curve")])
        .long(),
    Program::new("linear-control", "linear-control FSDD").long(),
    Program::new("arm", "eprop train arm-reaching --out OUT")
        .with_figures(&[("trajectory.svg", "arm-path"), ("one_shot.svg", "arm-trial")])
        .long(),
    Program::new("sines", "eprop train sine-regression --out OUT").long(),
    Program::new("streaming", "streaming"),
    Program::new("fine-tune-on-device", "fine-tune-on-device --data FSDD").long(),
    Program::new("device-switch", "device-switch").with_features("eprop-examples/ndarray"),
    Program::new("own-cell", "own-cell"),
    Program::new("own-cell-2", "own-cell 2").long(),
    Program::new("own-cell-3", "own-cell 3").long(),
    Program::new("own-signal", "own-signal"),
];

impl Program {
    /// Runs it, and keeps what it printed, how long it took and its figures.
    ///
    /// # Errors
    ///
    /// If it fails, or recordings are needed and missing.
    pub(crate) fn run(&self, book: &Book) -> Result<()> {
        let out = book.run_folder(self.name);
        if out.exists() {
            fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
        let (program, arguments) = self.command.split_once(' ').unwrap_or((self.command, ""));
        let executable = Executable::build(book, program, self.features)?;
        let start = Instant::now();
        let output = executable.run(book, &filled_in(arguments, &out)?)?;
        let mut numbers = Numbers::default();
        numbers.add("seconds", start.elapsed().as_secs().max(1));
        book.write_numbers(self.name, &numbers)?;
        let output = output.replace(&format!("{}/", book.repository().display()), "");
        book.write_output(&format!("{}.txt", self.name), &output)?;
        for (file, name) in self.figures {
            let (from, to) = (out.join(file), book.figure(name));
            fs::copy(&from, &to)
                .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        }
        Ok(())
    }
}

/// The words of a command in which `FSDD` stands for the folder of recordings and `OUT` for that of the run.
///
/// # Errors
///
/// If recordings are needed and `EPROP_FSDD` points nowhere.
pub(crate) fn filled_in(arguments: &str, out: &Path) -> Result<Vec<String>> {
    let fill = |word: &str| match word {
        "OUT" => Ok(out.display().to_string()),
        "FSDD" => std::env::var("EPROP_FSDD").context("EPROP_FSDD must point to recordings"),
        word => Ok(word.to_owned()),
    };
    arguments.split_whitespace().map(fill).collect()
}

/// A program of this repository: `eprop`, or an example.
pub(crate) struct Executable(PathBuf);

impl Executable {
    /// Builds it with some features beside the default, so that the time that it takes is its own.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub(crate) fn build(book: &Book, name: &str, features: &str) -> Result<Self> {
        let (kind, folder) = if name == "eprop" { ("--bin", "") } else { ("--example", "examples") };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--quiet", kind, name, "--features", features]);
        cargo.current_dir(book.repository());
        ensure!(cargo.status().context("cargo cannot be started")?.success(), "{name} cannot be built");
        // This program lies where cargo puts the others.
        let own = std::env::current_exe().context("the program's own path")?;
        let path = own.with_file_name(folder).join(name).with_extension(std::env::consts::EXE_EXTENSION);
        Ok(Self(path))
    }

    /// What it prints, started in the repository.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub(crate) fn run(&self, book: &Book, arguments: &[String]) -> Result<String> {
        let name = || format!("{} {}", self.0.display(), arguments.join(" "));
        let mut command = Command::new(&self.0);
        let output = command.args(arguments).current_dir(book.repository()).stderr(Stdio::inherit()).output();
        let output = output.with_context(name)?;
        ensure!(output.status.success(), "{} failed", name());
        String::from_utf8(output.stdout).with_context(|| format!("{} prints no text", name()))
    }
}
