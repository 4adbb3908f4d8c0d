//! What is compared, and the settings of its runs.

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::cli::{CompareArgs, TaskChoice, TrainArgs};
use crate::config::{RunConfig, SyntheticName};
use crate::method::MethodName;
use crate::one_shot::OneShotConfig;
use crate::one_shot::config::{OneShotTask, Sight, Teacher};
use crate::plots::SOLVED;

/// A method, and what stands behind its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contestant {
    method: MethodName,
    synthetic: Option<SyntheticName>,
}

/// What tells a learner of one-shot tasks how it did, and what that sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pupil {
    teacher: Teacher,
    sees: Option<Sight>,
}

impl FromStr for Contestant {
    type Err = String;

    /// `METHOD` or `METHOD:SYNTHETIC`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (method, synthetic) = parts(text)?;
        Ok(Self { method, synthetic })
    }
}

impl FromStr for Pupil {
    type Err = String;

    /// `SIGNAL` or `SIGNAL:SIGHT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (teacher, sees) = parts(text)?;
        Ok(Self { teacher, sees })
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

/// The name of one value, and of another behind a colon.
fn joined(first: &impl ValueEnum, second: Option<&impl ValueEnum>) -> String {
    let name = |value: Option<PossibleValue>| value.map(|value| value.get_name().to_owned());
    let first = name(first.to_possible_value()).unwrap_or_default();
    match second.and_then(|second| name(second.to_possible_value())) {
        Some(second) => format!("{first}:{second}"),
        None => first,
    }
}

/// One of those that are compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Method(Contestant),
    Signal(OneShotTask, Pupil),
}

/// All that are compared.
///
/// # Errors
///
/// If none are given, or those of other tasks.
pub(super) fn all(args: &CompareArgs) -> Result<Vec<Kind>> {
    let (methods, signals) = (!args.methods.is_empty(), !args.signals.is_empty());
    match args.task {
        TaskChoice::Sequence(_) if signals => bail!("--signals is for one-shot tasks; others have --methods"),
        TaskChoice::OneShot(_) if methods => bail!("one-shot tasks have no --methods, but --signals"),
        TaskChoice::Sequence(_) if !methods => bail!("--methods is needed, such as eprop,bptt"),
        TaskChoice::OneShot(_) if !signals => bail!("--signals is needed, such as learned,symmetric"),
        TaskChoice::Sequence(_) => Ok(args.methods.iter().copied().map(Kind::Method).collect()),
        TaskChoice::OneShot(task) => {
            Ok(args.signals.iter().map(|&pupil| Kind::Signal(task, pupil)).collect())
        }
    }
}

impl Kind {
    /// Name and settings of a run.
    pub(super) fn settings(self, args: &CompareArgs, seed: u64) -> Result<(String, Settings)> {
        let common = TrainArgs {
            task: Some(args.task),
            family: args.family,
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
        match self {
            Self::Method(Contestant { method, synthetic }) => {
                let train = TrainArgs { method: Some(method), synthetic, ..common };
                let config =
                    RunConfig::resolve(&train).with_context(|| joined(&method, synthetic.as_ref()))?;
                let has_one = matches!(method, MethodName::Eprop3 | MethodName::TruncatedBpttSg);
                let name = joined(&method, has_one.then_some(&config.synthetic.kind));
                Ok((name, Settings::Sequence(Box::new(config))))
            }
            Self::Signal(task, Pupil { teacher, sees }) => {
                let name = joined(&teacher, sees.as_ref());
                let signal = joined(&teacher, None::<&Sight>);
                let train = TrainArgs { signal: Some(signal), ..common };
                let mut config = OneShotConfig::resolve(task, &train).with_context(|| name.clone())?;
                if let Some(sees) = sees {
                    config = config.seeing(sees).with_context(|| name.clone())?;
                }
                Ok((name, Settings::OneShot(Box::new(config))))
            }
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

    pub(super) fn iterations(&self) -> usize {
        match self {
            Self::Sequence(config) => config.iterations,
            Self::OneShot(config) => config.iterations,
        }
    }

    /// Whether runs can go on from where they were.
    pub(super) fn has_checkpoints(&self) -> bool {
        matches!(self, Self::OneShot(_))
    }

    /// Which column of the metrics is compared: what the task's progress tells, or else its score or error.
    pub(super) fn measure(&self, columns: &[&str]) -> usize {
        let place = |wanted: &str| columns.iter().position(|name| *name == wanted);
        match self {
            Self::Sequence(_) => place(SOLVED).unwrap_or(3),
            Self::OneShot(_) => place(ERROR).unwrap_or(4),
        }
    }
}

/// What one-shot runs are compared by.
pub(super) const ERROR: &str = "error_after";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contestants_are_methods_with_a_synthetic_gradient() {
        let name = |contestant: Contestant| joined(&contestant.method, contestant.synthetic.as_ref());
        let parsed: Contestant = "eprop3:bp-lambda".parse().unwrap();
        assert_eq!((parsed.method, parsed.synthetic), (MethodName::Eprop3, Some(SyntheticName::BpLambda)));
        assert_eq!(name(parsed), "eprop3:bp-lambda");
        assert_eq!(name("bptt".parse().unwrap()), "bptt");
        assert!("eprop4".parse::<Contestant>().is_err());
        assert!("eprop3:quadratic".parse::<Contestant>().is_err());
    }

    #[test]
    fn pupils_are_signals_with_what_they_see() {
        let parsed: Pupil = "random:observed-position".parse().unwrap();
        assert_eq!((parsed.teacher, parsed.sees), (Teacher::Random, Some(Sight::ObservedPosition)));
        assert!("telepathic".parse::<Pupil>().is_err());
    }
}
