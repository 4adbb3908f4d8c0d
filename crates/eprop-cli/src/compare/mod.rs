//! `eprop compare`: several methods or learning signals, and seeds, on one task, side by side.

mod contestant;
mod memory;
mod report;

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use serde_json::Value;

pub use contestant::Contestant;

use crate::cli::CompareArgs;
use crate::config::{choice, read_table};
use crate::output;
use crate::regular_file::{read, read_text};
use crate::run_folder::{RunFolder, is_left_over};
use crate::table::Table;
use crate::train::{CONFIG, EVALUATION, Ending, METRICS};
use contestant::Settings;
use report::report;

/// How long a run that was not interrupted itself may still go on; its last checkpoint stands.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the runs that go on must have had to take their memory before another is begun.
const WARM_UP: Duration = Duration::from_secs(3);
/// How often runs are looked at.
const POLL: Duration = Duration::from_millis(100);

/// A run of the comparison.
struct Planned {
    name: String,
    settings: Settings,
    /// Name of its folder, and without an extension of its settings and of what it says.
    file_name: String,
    folder: PathBuf,
}

/// What a run has left.
struct Curve {
    name: String,
    seed: u64,
    /// What is compared, and its values after each iteration.
    measure: String,
    values: Vec<f64>,
    metrics: Table,
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
    let threads = threads(args)?;
    let planned = plan(&CompareArgs { threads: Some(threads), ..args.clone() }, &out)?;
    let folder = RunFolder::of_comparison(&out)?;
    let missing: VecDeque<&Planned> = planned
        .iter()
        .filter_map(|run| run.is_missing().map(|missing| missing.then_some(run)).transpose())
        .collect::<Result<_>>()?;
    let (all, left) = (planned.len(), missing.len());
    output::print(format_args!("{left} of {all} runs to do, in {}", out.display()))?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cores / threads).min(all).max(1);
    let failures = train(missing, &folder, jobs, interrupted);
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
        report(args, &folder, &planned, &curves)?;
    }
    let count = failures.len();
    match failures.into_iter().next() {
        Some(first) => Err(first.context(format!("{count} of {all} runs failed; the first"))),
        None => Ok(Ending::Complete),
    }
}

/// How many threads a run has. It does not follow from what goes on beside it: with another number a run becomes another.
fn threads(args: &CompareArgs) -> Result<usize> {
    let source = args.config.as_deref();
    let asked = source.map(read_table).transpose()?.unwrap_or_default();
    Ok(args.threads.or(choice(&asked, "threads", source)?).unwrap_or(1))
}

/// All runs, with settings that are valid.
fn plan(args: &CompareArgs, out: &Path) -> Result<Vec<Planned>> {
    let mut planned: Vec<Planned> = Vec::new();
    let speakers = match args.speakers.is_empty() {
        true => vec![None],
        false => args.speakers.iter().map(|speaker| Some(speaker.as_str())).collect(),
    };
    let contestants = contestant::all(args)?;
    let of_speaker = |speaker| contestants.iter().map(move |contestant| (speaker, contestant));
    for (speaker, contestant) in speakers.into_iter().flat_map(of_speaker) {
        for &seed in &args.seeds {
            let (name, settings) = contestant.settings(args, speaker, seed)?;
            let file_name = format!("{}-{seed}", name.replace(':', "-"));
            let unfit = |character: char| character.is_control() || matches!(character, '/' | '\\');
            ensure!(!file_name.contains(unfit), "`{name}` cannot be the name of a folder");
            let is_new = planned.iter().all(|run| run.file_name != file_name);
            ensure!(is_new, "{name} with seed {seed} is there twice");
            planned.push(Planned { name, settings, folder: out.join(&file_name), file_name });
        }
    }
    Ok(planned)
}

impl Planned {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether the run has still to be done.
    ///
    /// # Errors
    ///
    /// If the folder holds something else, or is a link to somewhere else.
    fn is_missing(&self) -> Result<bool> {
        let folder = self.folder.display();
        let failed = || format!("cannot read {folder}");
        match fs::symlink_metadata(&self.folder) {
            Ok(found) => ensure!(found.is_dir(), "{folder} is not a folder; choose another --out"),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error).with_context(failed),
        }
        let mut entries = fs::read_dir(&self.folder).with_context(failed)?.flatten();
        if entries.all(|entry| is_left_over(&entry.file_name())) {
            return Ok(true);
        }
        let settings = read_text(&self.file(CONFIG)).unwrap_or_default();
        ensure!(
            settings == self.settings.to_toml(),
            "{folder} holds something else than this run; choose another --out"
        );
        Ok(!self.is_complete())
    }

    fn is_complete(&self) -> bool {
        let metrics = self.metrics();
        metrics.is_ok_and(|metrics| self.settings.are_met_by(&metrics)) && self.file(EVALUATION).exists()
    }

    fn metrics(&self) -> Result<Table> {
        let path = self.file(METRICS);
        Table::from_csv(&String::from_utf8_lossy(&read(&path)?))
            .with_context(|| format!("{} is damaged", path.display()))
    }

    /// Trains in a process of its own, so that runs side by side do not share threads. `largest` is the most bytes that a run took.
    fn train(&self, out: &RunFolder, largest: &AtomicU64, interrupted: &AtomicBool) -> Result<()> {
        let [settings, log] = ["toml", "log"].map(|extension| format!("{}.{extension}", self.file_name));
        out.write(&settings, self.settings.to_toml().as_bytes())?;
        let file = out.create_file(&log)?;
        let (settings, log) = (out.file(&settings), out.file(&log));
        let mut command = Command::new(std::env::current_exe().context("the program's own path")?);
        // Who kills the comparison ends its runs, which save what they have.
        command.arg("--until-stdin-ends");
        // One that was interrupted before its first checkpoint begins anew, in the same folder.
        match self.file(CONFIG).exists() {
            true => command.args(["train", "--resume"]).arg(&self.folder),
            false => command.args(["train", "--config"]).arg(&settings).arg("--out").arg(&self.folder),
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(file.try_clone().with_context(|| format!("cannot write {}", log.display()))?)
            .stderr(file)
            .spawn()
            .context("the program cannot start itself")?;
        let mut since = None;
        let status = loop {
            if let Some(peak) = memory::peak_of(child.id()) {
                largest.fetch_max(peak, Ordering::Relaxed);
            }
            match child.try_wait().context("the program cannot wait for itself")? {
                Some(status) => break status,
                None if interrupted.load(Ordering::Relaxed) => {
                    // Its end asks the run to stop, if the signal has not.
                    drop(child.stdin.take());
                    let since = *since.get_or_insert_with(Instant::now);
                    if since.elapsed() > PATIENCE {
                        child.kill().context("a run cannot be stopped")?;
                    }
                    thread::sleep(POLL);
                }
                None => thread::sleep(POLL),
            }
        };
        if status.success() {
            return Ok(());
        }
        let said = read_text(&log).unwrap_or_default();
        bail!("{}: {}", self.folder.display(), said.lines().last().unwrap_or("it ended without a word"))
    }

    fn read(&self) -> Result<Curve> {
        let metrics = self.metrics()?;
        let measure = self.settings.measure(&metrics);
        let path = self.file(EVALUATION);
        let evaluation = serde_json::from_str(&read_text(&path)?)
            .with_context(|| format!("{} is damaged", path.display()))?;
        let values = metrics.column(&measure);
        let values = values.ok_or_else(|| anyhow!("{} has no {measure}", self.file(METRICS).display()))?;
        Ok(Curve {
            name: self.name.clone(),
            seed: self.settings.seed(),
            measure,
            values,
            metrics,
            evaluation,
        })
    }
}

/// Does the runs, up to `jobs` at a time where memory allows, and returns what went wrong.
fn train(missing: VecDeque<&Planned>, out: &RunFolder, jobs: usize, interrupted: &AtomicBool) -> Vec<Error> {
    let (queue, failures) = (Mutex::new(missing), Mutex::new(Vec::new()));
    let (running, largest) = (AtomicUsize::new(0), AtomicU64::new(0));
    let last_start = Mutex::new(None::<Instant>);
    // A run waits while there is too little memory for it beside others.
    let next = || loop {
        let mut queue = queue.lock().expect("no run panics");
        if interrupted.load(Ordering::Relaxed) {
            return None;
        }
        let mut last_start = last_start.lock().expect("no run panics");
        let warm = last_start.is_none_or(|start| start.elapsed() > WARM_UP);
        let alone = running.load(Ordering::Relaxed) == 0;
        if alone || (warm && memory::fits(largest.load(Ordering::Relaxed))) {
            let next = queue.pop_front();
            *last_start = Some(Instant::now());
            running.fetch_add(usize::from(next.is_some()), Ordering::Relaxed);
            return next;
        }
        drop((queue, last_start));
        thread::sleep(POLL);
    };
    let work = || {
        while let Some(run) = next() {
            let ending = run.train(out, &largest, interrupted);
            if ending.is_ok() || !interrupted.load(Ordering::Relaxed) {
                let said = match &ending {
                    Ok(()) => output::print(format_args!("done: {}", run.folder.display())),
                    Err(error) => output::print(format_args!("failed: {error:#}")),
                };
                let failed = ending.and(said).err();
                failures.lock().expect("no run panics").extend(failed);
            }
            running.fetch_sub(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let mut started = (0..jobs).map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok());
        if started.by_ref().count() == 0 {
            work();
        }
    });
    failures.into_inner().expect("no run panics")
}
