//! `eprop compare`: several methods or learning signals, and seeds, on one task, side by side.

mod contestant;
mod report;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use serde_json::Value;

pub use contestant::{Contestant, Pupil};

use crate::cli::CompareArgs;
use crate::checkpoint::CHECKPOINT;
use crate::output;
use crate::train::{CONFIG, EVALUATION, Ending, METRICS};
use contestant::Settings;
use report::report;

/// A run of the comparison.
struct Planned {
    name: String,
    settings: Settings,
    folder: PathBuf,
}

/// What a run has left.
struct Curve {
    name: String,
    seed: u64,
    /// The measure after each iteration.
    values: Vec<f64>,
    /// metrics.csv, line by line.
    lines: Vec<String>,
    evaluation: Value,
}

/// Trains what is missing, and writes table, curves and figure.
///
/// # Errors
///
/// If settings are unusable, a run fails, or something cannot be written.
pub fn run(args: &CompareArgs, interrupted: &AtomicBool) -> Result<Ending> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => {
            let task = args.task.to_possible_value().map(|task| task.get_name().to_owned());
            Path::new("runs").join(format!("compare-{}", task.unwrap_or_default()))
        }
    };
    let planned = plan(args, &out)?;
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let missing: VecDeque<&Planned> = planned
        .iter()
        .filter_map(|run| run.is_missing().map(|missing| missing.then_some(run)).transpose())
        .collect::<Result<_>>()?;
    let (all, left) = (planned.len(), missing.len());
    output::print(format_args!("{left} of {all} runs to do, in {}", out.display()))?;
    let failures = train(missing, planned.len(), args.jobs, interrupted);
    if interrupted.load(Ordering::Relaxed) {
        output::print("interrupted; the same command goes on")?;
        return Ok(Ending::Interrupted);
    }
    let complete = planned.iter().filter_map(|run| match run.is_complete() {
        true => Some(run.read()),
        false => None,
    });
    let curves = complete.collect::<Result<Vec<_>>>()?;
    if !curves.is_empty() {
        report(args, &out, &planned, &curves)?;
    }
    let count = failures.len();
    match failures.into_iter().next() {
        Some(first) => Err(first.context(format!("{count} of {all} runs failed; the first"))),
        None => Ok(Ending::Complete),
    }
}

/// All runs, with settings that are valid.
fn plan(args: &CompareArgs, out: &Path) -> Result<Vec<Planned>> {
    let mut planned = Vec::new();
    for contestant in contestant::all(args)? {
        for &seed in &args.seeds {
            let (name, settings) = contestant.settings(args, seed)?;
            let folder = out.join(format!("{}-{seed}", name.replace(':', "-")));
            ensure!(
                planned.iter().all(|run: &Planned| run.folder != folder),
                "{name} with seed {seed} is there twice"
            );
            planned.push(Planned { name, settings, folder });
        }
    }
    Ok(planned)
}

impl Planned {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether the run has still to be done. What an interruption has left is removed.
    ///
    /// # Errors
    ///
    /// If the folder holds something else.
    fn is_missing(&self) -> Result<bool> {
        let folder = self.folder.display();
        let mut entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error).with_context(|| format!("cannot read {folder}")),
        };
        if entries.next().is_none() {
            return Ok(true);
        }
        let settings = fs::read_to_string(self.file(CONFIG)).unwrap_or_default();
        ensure!(
            settings == self.settings.to_toml(),
            "{folder} holds something else than this run; choose another --out"
        );
        if self.is_complete() {
            return Ok(false);
        }
        if !self.can_resume() {
            fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {folder}"))?;
        }
        Ok(true)
    }

    /// Whether there is a checkpoint to go on from.
    fn can_resume(&self) -> bool {
        self.settings.has_checkpoints() && self.file(CHECKPOINT).exists()
    }

    fn is_complete(&self) -> bool {
        let rows = fs::read_to_string(self.file(METRICS)).unwrap_or_default().lines().count();
        rows == self.settings.iterations() + 1 && self.file(EVALUATION).exists()
    }

    /// Trains in a process of its own, so that runs side by side do not share threads.
    fn train(&self, threads: usize) -> Result<()> {
        let named = |extension: &str| self.folder.with_extension(extension);
        let (settings, log) = (named("toml"), named("log"));
        fs::write(&settings, self.settings.to_toml())
            .with_context(|| format!("cannot write {}", settings.display()))?;
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe().context("the program's own path")?);
        match self.can_resume() {
            true => command.args(["train", "--resume"]).arg(&self.folder),
            false => command.args(["train", "--config"]).arg(&settings).arg("--out").arg(&self.folder),
        };
        let status = command
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::null())
            .stdout(file.try_clone().with_context(|| format!("cannot write {}", log.display()))?)
            .stderr(file)
            .status()
            .context("the program cannot start itself")?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("{}: {}", self.folder.display(), said.lines().last().unwrap_or("it ended without a word"))
    }

    fn read(&self) -> Result<Curve> {
        let read = |name: &str| {
            let path = self.file(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let damaged = || anyhow!("{} is damaged", self.file(METRICS).display());
        let metrics = read(METRICS)?;
        let mut lines = metrics.lines().map(str::to_owned);
        let header = lines.next().ok_or_else(damaged)?;
        let columns: Vec<_> = header.split(',').collect();
        let column = self.settings.measure(&columns);
        let lines: Vec<String> = lines.collect();
        let values = lines.iter().map(|line| line.split(',').nth(column)?.parse().ok());
        let values = values.collect::<Option<_>>().ok_or_else(damaged)?;
        let evaluation = serde_json::from_str(&read(EVALUATION)?)
            .with_context(|| format!("{} is damaged", self.file(EVALUATION).display()))?;
        let lines = [header].into_iter().chain(lines).collect();
        Ok(Curve { name: self.name.clone(), seed: self.settings.seed(), values, lines, evaluation })
    }
}

/// Does the runs, several at a time, and returns what went wrong. How many threads a run has follows from `all` runs, so that
/// one that is done later is done alike.
fn train(
    missing: VecDeque<&Planned>,
    all: usize,
    jobs: Option<usize>,
    interrupted: &AtomicBool,
) -> Vec<Error> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.unwrap_or(cores).min(all);
    let threads = (cores / jobs).max(1);
    let (queue, failures) = (Mutex::new(missing), Mutex::new(Vec::new()));
    let next = || {
        let next = queue.lock().expect("no run panics").pop_front();
        next.filter(|_| !interrupted.load(Ordering::Relaxed))
    };
    let work = || {
        while let Some(run) = next() {
            let ending = run
                .train(threads)
                .and_then(|()| output::print(format_args!("done: {}", run.folder.display())));
            match ending {
                Err(error) if !interrupted.load(Ordering::Relaxed) => {
                    failures.lock().expect("no run panics").push(error);
                }
                _ => {}
            }
        }
    };
    thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    failures.into_inner().expect("no run panics")
}
