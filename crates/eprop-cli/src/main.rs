//! The `eprop` program.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use burn::tensor::DType;
use clap::Parser;
use eprop_cli::cli::{Cli, Command, DtypeName, GradcheckArgs, TrainArgs};
use eprop_cli::gradcheck::fixture::Fixture;
use eprop_cli::gradcheck::{Settings, check};
use eprop_cli::interruption::Interruption;
use eprop_cli::train::Ending;
use eprop_cli::{align, bench, compare, eval, export, output, threads, train};
use peak_alloc::PeakAlloc;
use serde_json::json;

/// Counts live bytes, for `eprop bench`.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A comparison failed.
const FAILED: u8 = 1;
/// The user asked for something that cannot be done.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            return unusable(&output::one_line(&first_paragraph(&error.to_string())));
        }
        Err(help) => help.exit(),
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => unusable(&format!("error: {}", output::describe(&error))),
    }
}

/// What clap says before it explains the usage.
fn first_paragraph(message: &str) -> String {
    message.split("\n\n").next().unwrap_or_default().to_owned()
}

/// Tells the user in one line what is wrong.
fn unusable(line: &str) -> ExitCode {
    // Where standard error is closed or full, the exit status alone tells.
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(UNUSABLE)
}

fn run(Cli { until_stdin_ends, command }: Cli) -> Result<u8> {
    let interruptible = |run: &dyn Fn(&AtomicBool) -> Result<Ending>| {
        let interruption = Interruption::caught()?;
        if until_stdin_ends {
            interruption.when_stdin_ends()?;
        }
        let ending = run(interruption.flag())?;
        Ok(if ending == Ending::Interrupted { interruption.status() } else { 0 })
    };
    match command.unwrap_or_else(|| Command::Train(TrainArgs::default())) {
        Command::Train(args) => interruptible(&|interrupted| train::run(&args, interrupted)),
        Command::Compare(args) => interruptible(&|interrupted| compare::run(&args, interrupted)),
        Command::Align(args) => interruptible(&|interrupted| align::run(&args, interrupted)),
        Command::Eval(args) => eval::run(&args).map(|()| 0),
        Command::Export(args) => export::run(&args).map(|()| 0),
        Command::Gradcheck(args) => gradcheck(&args),
        Command::Bench(args) => {
            let measurement = bench::run(&args, &ALLOCATOR)?;
            match args.json {
                true => output::print(serde_json::to_string(&measurement)?)?,
                false => output::print(measurement.to_line())?,
            }
            Ok(0)
        }
    }
}

fn gradcheck(args: &GradcheckArgs) -> Result<u8> {
    let fixture = Fixture::read(&args.fixture)?;
    let dtype = match args.dtype {
        DtypeName::F64 => DType::F64,
        DtypeName::F32 => DType::F32,
    };
    let device = args.device.open_with(threads::default_number())?;
    let settings = Settings { device, dtype, chunk: args.chunk };
    let found = check(&fixture, &settings)?;
    let error = found.largest_error();
    let passed = error <= args.tolerance;
    if args.json {
        let report = json!({
            "comparisons": found.comparisons,
            "skipped": found.skipped,
            "max_relative_error": error,
            "tolerance": args.tolerance,
            "passed": passed,
        });
        output::print(report)?;
    } else {
        for comparison in &found.comparisons {
            output::print(format_args!("{:<42} {:.3e}", comparison.name, comparison.relative_error))?;
        }
        for name in &found.skipped {
            output::print(format_args!("{name:<42} not compared"))?;
        }
        let verdict = if passed { "within" } else { "above" };
        let line = format!("{:<42} {error:.3e} {verdict} {:.1e}", "largest relative error", args.tolerance);
        output::print(line)?;
    }
    Ok(if passed { 0 } else { FAILED })
}
