//! Writes what the book shows: figures, numbers, tables and the outputs of programs.
//!
//! `cargo run --release --bin figures` writes what takes minutes; `-- --long` also that which takes hours, and goes on where it was interrupted;
//! `-- NAME…` some of it alone. Recordings of spoken digits are looked for where `EPROP_FSDD` points.
//!
//! | kind | what it is | where it goes |
//! |---|---|---|
//! | a [`drawing`] | computed here, by the library | `src/figures`, `numbers` |
//! | a [`program`] | an example or a command of `eprop`, and what it prints | `outputs`, `numbers`, `src/figures` |
//! | a [`comparison`] | `eprop compare` over seeds | `results`, `numbers`, `src/figures` |
//!
//! At the end, the README's tables are replaced by those of `results`.

mod book;
mod comparison;
mod cost;
mod diff;
mod drawing;
mod gradient;
mod neuron;
mod own_cell;
mod plasticity;
mod program;
mod readme;
mod streaming;
mod synapse;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use book::Book;
use comparison::{COMPARISONS, Comparison};
use drawing::{DRAWINGS, Drawing};
use program::{PROGRAMS, Program};

/// Writes the figures, numbers, tables and outputs of the book.
#[derive(Parser)]
struct Args {
    /// Names of figures, programs or comparisons; all that take minutes without.
    names: Vec<String>,
    /// Also those that take longer.
    #[arg(long)]
    long: bool,
    /// Prints the names.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Something that the book shows.
enum Part {
    Program(&'static Program),
    Drawing(&'static Drawing),
    Comparison(&'static Comparison),
}

impl Part {
    /// All of them. Some drawings are of what programs print.
    fn all() -> Vec<Self> {
        let parts = PROGRAMS.iter().map(Self::Program).chain(DRAWINGS.iter().map(Self::Drawing));
        parts.chain(COMPARISONS.iter().map(Self::Comparison)).collect()
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Program(program) => program.name,
            Self::Drawing((name, _)) => name,
            Self::Comparison(comparison) => comparison.name,
        }
    }

    fn is_long(&self) -> bool {
        match self {
            Self::Program(program) => program.long,
            Self::Drawing(_) => false,
            Self::Comparison(comparison) => comparison.long,
        }
    }

    fn make(&self, book: &Book) -> Result<()> {
        match self {
            Self::Program(program) => program.run(book),
            Self::Drawing((_, draw)) => draw(book),
            Self::Comparison(comparison) => comparison.run(book),
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let parts = Part::all();
    if args.list {
        parts
            .iter()
            .for_each(|part| println!("{}{}", part.name(), if part.is_long() { " (long)" } else { "" }));
        return Ok(());
    }
    for name in &args.names {
        ensure!(parts.iter().any(|part| part.name() == name), "there is no {name}; --list prints all names");
    }
    let book = Book::open()?;
    let is_wanted = |part: &&Part| match args.names.is_empty() {
        true => args.long || !part.is_long(),
        false => args.names.iter().any(|name| name == part.name()),
    };
    for part in parts.iter().filter(is_wanted) {
        println!("{}", part.name());
        part.make(&book).with_context(|| part.name())?;
    }
    comparison::write_numbers(&book)?;
    readme::write_tables(&book)
}
