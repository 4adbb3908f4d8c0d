//! `eprop compare`: several methods and seeds on one task, side by side.

use std::collections::VecDeque;
use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use eprop_tasks::plot::{Lines, Series, learning_curve};
use serde_json::Value;

use crate::cli::{CompareArgs, TaskChoice, TrainArgs};
use crate::config::{RunConfig, SyntheticName};
use crate::method::MethodName;
use crate::output;
use crate::plots::SOLVED;
use crate::run_folder::RunFolder;
use crate::train::{CONFIG, EVALUATION, Ending, METRICS};

/// Points of a curve; of more iterations, every so many-th is drawn.
const POINTS: usize = 500;

/// A method, and what stands behind its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contestant {
    method: MethodName,
    synthetic: Option<SyntheticName>,
}

impl FromStr for Contestant {
    type Err = String;

    /// `METHOD` or `METHOD:SYNTHETIC`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (method, synthetic) = match text.split_once(':') {
            Some((method, synthetic)) => (method, Some(synthetic)),
            None => (text, None),
        };
        Ok(Self {
            method: MethodName::from_str(method, false)?,
            synthetic: synthetic.map(|name| SyntheticName::from_str(name, false)).transpose()?,
        })
    }
}

impl Contestant {
    /// With the synthetic gradient that its settings have.
    fn resolved(self, config: &RunConfig) -> Self {
        let has_one = matches!(self.method, MethodName::Eprop3 | MethodName::TruncatedBpttSg);
        Self { synthetic: has_one.then_some(config.synthetic.kind), ..self }
    }

    fn name(&self) -> String {
        let name =
            |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
        let method = name(self.method.to_possible_value()).unwrap_or_default();
        match self.synthetic.and_then(|synthetic| name(synthetic.to_possible_value())) {
            Some(synthetic) => format!("{method}:{synthetic}"),
            None => method,
        }
    }
}

/// A run of the comparison.
struct Planned {
    contestant: Contestant,
    config: RunConfig,
    folder: PathBuf,
}

/// What a run has left.
struct Curve {
    contestant: Contestant,
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
    for &contestant in &args.methods {
        for &seed in &args.seeds {
            let train = TrainArgs {
                task: Some(TaskChoice::Sequence(args.task)),
                method: Some(contestant.method),
                synthetic: contestant.synthetic,
                seed: Some(seed),
                cell: args.cell,
                device: args.device,
                iterations: args.iterations,
                batch: args.batch,
                chunk: args.chunk,
                data: args.data.clone(),
                config: args.config.clone(),
                ..TrainArgs::default()
            };
            let config = RunConfig::resolve(&train).with_context(|| contestant.name())?;
            let contestant = contestant.resolved(&config);
            let folder = out.join(format!("{}-{seed}", contestant.name().replace(':', "-")));
            ensure!(
                planned.iter().all(|run: &Planned| run.folder != folder),
                "{} with seed {seed} is there twice",
                contestant.name()
            );
            planned.push(Planned { contestant, config, folder });
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
            settings == self.config.to_toml(),
            "{folder} holds something else than this run; choose another --out"
        );
        if self.is_complete() {
            return Ok(false);
        }
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {folder}"))?;
        Ok(true)
    }

    fn is_complete(&self) -> bool {
        let rows = fs::read_to_string(self.file(METRICS)).unwrap_or_default().lines().count();
        rows == self.config.iterations + 1 && self.file(EVALUATION).exists()
    }

    /// Trains in a process of its own, so that runs side by side do not share threads.
    fn train(&self, threads: usize) -> Result<()> {
        let named = |extension: &str| self.folder.with_extension(extension);
        let (settings, log) = (named("toml"), named("log"));
        fs::write(&settings, self.config.to_toml())
            .with_context(|| format!("cannot write {}", settings.display()))?;
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let status = Command::new(std::env::current_exe().context("the program's own path")?)
            .args(["train", "--config"])
            .arg(&settings)
            .arg("--out")
            .arg(&self.folder)
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
        // The measure is what the task's progress tells, or else its score.
        let column = columns.iter().position(|name| *name == SOLVED).unwrap_or(3);
        let lines: Vec<String> = lines.collect();
        let values = lines.iter().map(|line| line.split(',').nth(column)?.parse().ok());
        let values = values.collect::<Option<_>>().ok_or_else(damaged)?;
        let evaluation = serde_json::from_str(&read(EVALUATION)?)
            .with_context(|| format!("{} is damaged", self.file(EVALUATION).display()))?;
        let lines = [header].into_iter().chain(lines).collect();
        Ok(Curve { contestant: self.contestant, seed: self.config.seed, values, lines, evaluation })
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

/// Writes the comparison's files and prints the table.
fn report(args: &CompareArgs, out: &Path, planned: &[Planned], curves: &[Curve]) -> Result<()> {
    let folder = RunFolder::open(out);
    let mut csv = String::new();
    for (index, curve) in curves.iter().enumerate() {
        for (line, text) in curve.lines.iter().enumerate() {
            match line {
                0 if index == 0 => writeln!(csv, "method,seed,{text}"),
                0 => Ok(()),
                _ => writeln!(csv, "{},{},{text}", curve.contestant.name(), curve.seed),
            }
            .expect("strings can be written to");
        }
    }
    folder.write("compare.csv", csv.as_bytes())?;
    let table = table(planned, curves);
    folder.write("compare.md", table.as_bytes())?;
    draw(args, &folder.file("compare.svg"), &contestants(planned), curves)?;
    output::print(table.trim_end())?;
    output::print(format_args!("in {}: compare.csv, compare.md, compare.svg", out.display()))
}

/// What a table shows of each run: named numbers of its evaluation.
fn measures(curve: &Curve) -> Vec<(String, f64)> {
    let object = curve.evaluation.as_object().into_iter().flatten();
    let numbers: Vec<_> = object.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
    let solved: Vec<_> = numbers.iter().filter(|(name, _)| name.starts_with("solved_")).cloned().collect();
    let others = ["firing_rate_hz", "loss", "sequences"];
    match solved.is_empty() {
        true => numbers.into_iter().filter(|(name, _)| !others.contains(&name.as_str())).collect(),
        false => solved,
    }
}

/// The contestants in their order.
fn contestants(planned: &[Planned]) -> Vec<Contestant> {
    let mut contestants: Vec<_> = planned.iter().map(|run| run.contestant).collect();
    contestants.dedup();
    contestants
}

/// A row for each method: the median of each measure and its quartiles, and the last measure by seed.
fn table(planned: &[Planned], curves: &[Curve]) -> String {
    let names: Vec<String> = measures(&curves[0]).into_iter().map(|(name, _)| name).collect();
    let header: Vec<_> = names.iter().map(|name| name.replace('_', " ")).collect();
    let last = header.last().cloned().unwrap_or_default();
    let mut table = format!("| method | {} | {last} by seed |\n|---|", header.join(" | "));
    table.extend(["---|".repeat(names.len() + 1).as_str(), "\n"]);
    for contestant in contestants(planned) {
        let value = |run: &Planned, name: &str| {
            let mut curves = curves.iter();
            let curve =
                curves.find(|curve| curve.contestant == contestant && curve.seed == run.config.seed)?;
            measures(curve).into_iter().find(|(found, _)| found == name).map(|found| found.1)
        };
        let runs: Vec<_> = planned.iter().filter(|run| run.contestant == contestant).collect();
        let of = |name: &String| runs.iter().map(|run| value(run, name)).collect::<Vec<_>>();
        let cells = names.iter().map(|name| {
            let [low, middle, high] = quartiles(of(name).into_iter().flatten().collect());
            format!("{} ({} to {})", short(middle), short(low), short(high))
        });
        let seeds = names.last().map(of).unwrap_or_default();
        let seeds = seeds.into_iter().map(|value| value.map_or("failed".into(), short));
        let (cells, seeds): (Vec<_>, Vec<_>) = (cells.collect(), seeds.collect());
        writeln!(table, "| {} | {} | {} |", contestant.name(), cells.join(" | "), seeds.join(", "))
            .expect("strings can be written to");
    }
    table
}

/// A number with up to three decimals.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The lower quartile, the median and the upper quartile, interpolated; NaN of nothing.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|share| {
        let place = share * (values.len().max(1) - 1) as f64;
        let (below, above) = (values.get(place.floor() as usize), values.get(place.ceil() as usize));
        match (below, above) {
            (Some(below), Some(above)) => below + (above - below) * place.fract(),
            _ => f64::NAN,
        }
    })
}

/// The measure over training, the median of all seeds in a band of their quartiles.
fn draw(args: &CompareArgs, path: &Path, contestants: &[Contestant], curves: &[Curve]) -> Result<()> {
    let drawn =
        contestants.iter().filter(|contestant| curves.iter().any(|curve| curve.contestant == **contestant));
    let series = drawn.map(|contestant| {
        let runs: Vec<_> = curves.iter().filter(|curve| curve.contestant == *contestant).collect();
        let length = runs.iter().map(|run| run.values.len()).min().unwrap_or(0);
        let places: Vec<usize> = (0..length).step_by(length.div_ceil(POINTS).max(1)).collect();
        let at = |place: &usize| quartiles(runs.iter().map(|run| run.values[*place]).collect());
        let bands: Vec<[f64; 3]> = places.iter().map(at).collect();
        let column = |index: usize| bands.iter().map(|band| band[index]).collect::<Vec<f64>>();
        let x: Vec<f64> = places.iter().map(|&place| place as f64 + 1.0).collect();
        Series::new(contestant.name(), &x, &column(1)).with_band(&column(0), &column(2))
    });
    let progress = curves[0].lines[0].split(',').any(|name| name == SOLVED);
    let score = curves[0].lines[0].split(',').nth(3).unwrap_or_default().to_owned();
    let (title, label) = match progress {
        true => ("Longest sequence solved".to_owned(), "steps".to_owned()),
        false => (score.clone(), score),
    };
    let seeds = args.seeds.len();
    let lines = Lines::new(title, label, series.collect());
    let task = args.task.to_possible_value().map(|task| task.get_name().to_owned()).unwrap_or_default();
    let title = format!("{task}: median and quartiles of {seeds} seeds");
    Ok(learning_curve(path, &title, "iteration", lines, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated() {
        assert_eq!(quartiles(vec![4.0, 1.0, 3.0, 2.0, 5.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(vec![1.0, 2.0]), [1.25, 1.5, 1.75]);
        assert!(quartiles(Vec::new())[1].is_nan());
    }

    #[test]
    fn contestants_are_methods_with_a_synthetic_gradient() {
        let parsed: Contestant = "eprop3:bp-lambda".parse().unwrap();
        assert_eq!((parsed.method, parsed.synthetic), (MethodName::Eprop3, Some(SyntheticName::BpLambda)));
        assert_eq!(parsed.name(), "eprop3:bp-lambda");
        assert_eq!("bptt".parse::<Contestant>().unwrap().name(), "bptt");
        assert!("eprop4".parse::<Contestant>().is_err());
        assert!("eprop3:quadratic".parse::<Contestant>().is_err());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([33.0, 0.5, 1.23456].map(short), ["33", "0.5", "1.235"]);
    }
}
