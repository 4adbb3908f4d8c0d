//! What is compared, and the settings of its runs.

use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use eprop_tasks::spoken_digits::HeldOut;

use crate::cli::{CompareArgs, TaskChoice, TrainArgs};
use crate::config::{RunConfig, SyntheticName};
use crate::method::{CellName, MethodName, SignalName};
use crate::one_shot::OneShotConfig;
use crate::one_shot::config::{OneShotTask, Sight, Teacher};
use crate::plots::SOLVED;
use crate::table::Table;
use crate::validation;

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
        let (method, synthetic) = parts(text)?;
        Ok(Self { method, synthetic })
    }
}

/// A name, and another behind a colon.
fn parts<A: ValueEnum, B: ValueEnum>(text: &str) -> Result<(A, Option<B>), String> {
    let (first, second) = match text.split_once(':') {
        Some((first, second)) => (first, Some(second)),
        None => (text, None),
    };
    Ok((A::from_str(first, false)?, second.map(|name| B::from_str(name, false)).transpose()?))
}

fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// One of those that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A method, for e-prop with its signal, and a cell where there is a choice of them.
    Method { cell: Option<CellName>, contestant: Contestant, signal: Option<SignalName> },
    /// What tells a learner of one-shot tasks how it did, and what that sees.
    Teacher { task: OneShotTask, cell: Option<CellName>, teacher: Teacher, sees: Option<Sight> },
}

/// All that are compared.
///
/// # Errors
///
/// If none are given, or those of other tasks.
pub(super) fn all(args: &CompareArgs) -> Result<Vec<Kind>> {
    let cells = match args.cells.is_empty() {
        true => vec![None],
        false => args.cells.iter().copied().map(Some).collect(),
    };
    let of_cell: Vec<Kind> = match args.task {
        TaskChoice::Sequence(_) => methods(args)?,
        TaskChoice::OneShot(task) => teachers(args, task)?,
    };
    Ok(cells.into_iter().flat_map(|cell| of_cell.iter().map(move |kind| kind.with_cell(cell))).collect())
}

/// The methods, and e-prop once for each signal.
fn methods(args: &CompareArgs) -> Result<Vec<Kind>> {
    let signal = |name: &String| {
        let known = || SignalName::value_variants().iter().map(name_of).collect::<Vec<_>>().join(", ");
        SignalName::from_str(name, false)
            .map_err(|_| anyhow!("--signals: {name} is not a learning signal of e-prop: {}", known()))
    };
    let signals: Vec<SignalName> = args.signals.iter().map(signal).collect::<Result<_>>()?;
    let mut methods = args.methods.clone();
    if methods.is_empty() {
        ensure!(!signals.is_empty(), "--methods or --signals is needed, such as --methods eprop,bptt");
        methods.push(Contestant { method: MethodName::Eprop, synthetic: None });
    }
    let has_signal = |contestant: &Contestant| contestant.method == MethodName::Eprop;
    let of_none = signals.is_empty() || methods.iter().any(has_signal);
    ensure!(of_none, "--signals is for e-prop, which is not among the methods");
    let of_method = |contestant| {
        let signals = match has_signal(&contestant) && !signals.is_empty() {
            true => signals.iter().copied().map(Some).collect(),
            false => vec![None],
        };
        signals.into_iter().map(move |signal| Kind::Method { cell: None, contestant, signal })
    };
    Ok(methods.into_iter().flat_map(of_method).collect())
}

fn teachers(args: &CompareArgs, task: OneShotTask) -> Result<Vec<Kind>> {
    if !args.methods.is_empty() {
        bail!("one-shot tasks have no --methods, but --signals");
    }
    ensure!(!args.signals.is_empty(), "--signals is needed, such as learned,symmetric");
    let teacher = |name: &String| {
        let (teacher, sees) = parts(name).map_err(|reason| anyhow!("--signals {name}: {reason}"))?;
        Ok(Kind::Teacher { task, cell: None, teacher, sees })
    };
    args.signals.iter().map(teacher).collect()
}

impl Kind {
    fn with_cell(self, chosen: Option<CellName>) -> Self {
        match self {
            Self::Method { contestant, signal, .. } => Self::Method { cell: chosen, contestant, signal },
            Self::Teacher { task, teacher, sees, .. } => Self::Teacher { task, cell: chosen, teacher, sees },
        }
    }

    /// Its names, the cell's where there is a choice of several.
    fn names(self, several_cells: bool) -> Vec<String> {
        let (cell, names) = match self {
            Self::Method { cell, contestant, signal } => {
                let synthetic = contestant.synthetic.as_ref().map(name_of);
                (cell, [Some(name_of(&contestant.method)), synthetic, signal.as_ref().map(name_of)])
            }
            Self::Teacher { cell, teacher, sees, .. } => {
                (cell, [Some(name_of(&teacher)), sees.as_ref().map(name_of), None])
            }
        };
        let cell = cell.filter(|_| several_cells).map(|cell| name_of(&cell));
        cell.into_iter().chain(names.into_iter().flatten()).collect()
    }

    /// Name and settings of a run, without a speaker of the spoken digits if one is named.
    pub(super) fn settings(
        self,
        args: &CompareArgs,
        speaker: Option<&str>,
        seed: u64,
    ) -> Result<(String, Settings)> {
        let (Self::Method { cell, .. } | Self::Teacher { cell, .. }) = self;
        let common = TrainArgs {
            task: Some(args.task),
            family: args.family,
            seed: Some(seed),
            cell,
            device: args.device,
            threads: args.threads,
            iterations: args.iterations,
            batch: args.batch,
            chunk: args.chunk,
            data: args.data.clone(),
            config: args.config.clone(),
            ..TrainArgs::default()
        };
        let several_cells = args.cells.len() > 1;
        let name_of_all = |kind: Self| {
            let names = speaker.map(str::to_owned).into_iter().chain(kind.names(several_cells));
            names.collect::<Vec<_>>().join(":")
        };
        let name = name_of_all(self);
        match self {
            Self::Method { contestant: Contestant { method, synthetic }, signal, .. } => {
                let signal = signal.as_ref().map(name_of);
                let train = TrainArgs { method: Some(method), synthetic, signal, ..common };
                let mut config = RunConfig::resolve(&train).context(name)?;
                if let Some(speaker) = speaker {
                    let digits = config.spoken_digits.as_mut();
                    let digits = digits.context("--speakers is for spoken-digits")?;
                    digits.held_out = HeldOut::Speaker(speaker.to_owned());
                }
                // The synthetic gradient is named also where it follows from the settings.
                let has_one = matches!(method, MethodName::Eprop3 | MethodName::TruncatedBpttSg);
                let synthetic = has_one.then_some(config.synthetic.kind);
                let name = name_of_all(self.with_synthetic(synthetic));
                Ok((name, Settings::Sequence(Box::new(config))))
            }
            Self::Teacher { task, teacher, sees, .. } => {
                ensure!(speaker.is_none(), "--speakers is for spoken-digits");
                let train = TrainArgs { signal: Some(name_of(&teacher)), ..common };
                let mut config = OneShotConfig::resolve(task, &train).with_context(|| name.clone())?;
                if let Some(sees) = sees {
                    config = config.seeing(sees).with_context(|| name.clone())?;
                }
                Ok((name, Settings::OneShot(Box::new(config))))
            }
        }
    }

    fn with_synthetic(self, synthetic: Option<SyntheticName>) -> Self {
        match self {
            Self::Method { cell, contestant, signal } => {
                Self::Method { cell, contestant: Contestant { synthetic, ..contestant }, signal }
            }
            teacher => teacher,
        }
    }
}

/// Settings of a run.
#[derive(Debug)]
pub(super) enum Settings {
    Sequence(Box<RunConfig>),
    OneShot(Box<OneShotConfig>),
}

impl Settings {
    pub(super) fn to_toml(&self) -> String {
        match self {
            Self::Sequence(config) => config.to_toml(),
            Self::OneShot(config) => config.to_toml(),
        }
    }

    pub(super) fn seed(&self) -> u64 {
        match self {
            Self::Sequence(config) => config.seed,
            Self::OneShot(config) => config.seed,
        }
    }

    /// Whether these are the metrics of a whole run.
    pub(super) fn are_met_by(&self, metrics: &Table) -> bool {
        match self {
            Self::OneShot(config) => metrics.len() == config.iterations,
            Self::Sequence(config) => {
                let stop = config.validation.filter(|validation| validation.stop);
                let score = validation::score_name(metrics);
                metrics.len() == config.iterations
                    || stop.is_some_and(|validation| validation.solved_at(score, metrics).is_some())
            }
        }
    }

    /// Which column of the metrics is compared: what the task's progress tells, or else its score or error.
    pub(super) fn measure(&self, metrics: &Table) -> String {
        if matches!(self, Self::OneShot(_)) {
            return ERROR.into();
        }
        let score = validation::score_name(metrics);
        let columns = [SOLVED.to_owned(), validation::column(score)];
        let found = columns.into_iter().find(|column| metrics.columns().contains(column));
        found.unwrap_or_else(|| score.to_owned())
    }
}

/// What one-shot runs are compared by.
pub(super) const ERROR: &str = "error_after";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::cli::Command;
    use clap::Parser;

    fn names(arguments: &str) -> Result<Vec<String>> {
        let line = format!("eprop compare {arguments}");
        let Some(Command::Compare(args)) = Cli::try_parse_from(line.split(' '))?.command else {
            panic!("{line}")
        };
        all(&args)?.into_iter().map(|kind| Ok(kind.settings(&args, None, 1)?.0)).collect()
    }

    #[test]
    fn signals_are_those_of_eprop_and_cells_multiply_all() {
        let found = names("store-recall --methods eprop,bptt --signals random,symmetric --cells alif,lif");
        let expected = ["eprop:random", "eprop:symmetric", "bptt"];
        let expected: Vec<_> =
            ["alif", "lif"].iter().flat_map(|cell| expected.map(|name| format!("{cell}:{name}"))).collect();
        assert_eq!(found.unwrap(), expected);
        assert_eq!(names("store-recall --signals adaptive --cell lif").unwrap(), ["eprop:adaptive"]);
        let synthetic = names("copy-repeat --methods eprop3:bp-lambda,eprop3,eprop");
        assert_eq!(synthetic.unwrap(), ["eprop3:bp-lambda", "eprop3:linear", "eprop"]);
        let teachers = names("arm-reaching --signals learned,random:observed-position");
        assert_eq!(teachers.unwrap(), ["learned", "random:observed-position"]);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for (arguments, word) in [
            ("store-recall", "--methods"),
            ("store-recall --methods bptt --signals random", "not among"),
            ("store-recall --signals telepathic", "telepathic"),
            ("arm-reaching --signals telepathic", "telepathic"),
            ("arm-reaching --methods bptt", "--signals"),
            ("arm-reaching", "--signals"),
        ] {
            let error = names(arguments).unwrap_err().to_string();
            assert!(error.contains(word), "{arguments}: {error}");
        }
        assert!("eprop4".parse::<Contestant>().is_err());
        assert!("eprop3:quadratic".parse::<Contestant>().is_err());
    }
}
