//! Settings that flags and a settings file ask for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{SyntheticName, TaskName, Update};
use crate::cli::{TaskChoice, TrainArgs};
use crate::device::DeviceName;
use crate::method::{CellName, MethodName};

/// Refuses settings that are for other tasks.
pub(super) fn refuse_what_is_ignored(asked: &Table, task: TaskName) -> Result<()> {
    let given = name_of(task);
    ensure!(
        task.has_data() || !asked.contains_key("data"),
        "data (--data) are not for {given}, which draws its own"
    );
    ensure!(
        task.has_rewards() || !asked.contains_key("reward"),
        "[reward] is not for {given}, which has no rewards"
    );
    let others =
        TaskName::value_variants().iter().filter(|other| **other != task).map(|other| name_of(*other));
    for other in others {
        let table = other.replace('-', "_");
        ensure!(!asked.contains_key(&table), "[{table}] is for {other}, but the task is {given}");
    }
    Ok(())
}

fn name_of(task: TaskName) -> String {
    task.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Where settings come from, for messages.
pub(crate) fn describe(source: Option<&Path>) -> String {
    source.map_or("settings".into(), |path| format!("settings of {}", path.display()))
}

/// A setting on which defaults depend.
pub(crate) fn choice<T: for<'a> Deserialize<'a>>(
    asked: &Table,
    name: &str,
    source: Option<&Path>,
) -> Result<Option<T>> {
    let value = asked.get(name).cloned();
    value
        .map(|value| value.try_into().with_context(|| format!("`{name}` in the {}", describe(source))))
        .transpose()
}

/// The flags that were given, as settings.
pub(super) fn flags(args: &TrainArgs) -> Result<Table> {
    #[derive(Serialize)]
    struct Flags<'a> {
        task: Option<TaskName>,
        method: Option<MethodName>,
        signal: Option<&'a str>,
        cell: Option<CellName>,
        device: Option<DeviceName>,
        threads: Option<usize>,
        seed: Option<u64>,
        iterations: Option<usize>,
        batch: Option<usize>,
        chunk: Option<usize>,
        update: Option<Update>,
        lr: Option<f64>,
        data: Option<&'a PathBuf>,
        synthetic: Option<Synthetic>,
    }
    #[derive(Serialize)]
    struct Synthetic {
        kind: SyntheticName,
    }
    ensure!(args.family.is_none(), "--family is for arm-reaching");
    let task = args.task.map(|task| match task {
        TaskChoice::Sequence(task) => Ok(task),
        TaskChoice::OneShot(_) => bail!("a one-shot task has settings of its own"),
    });
    let flags = Flags {
        task: task.transpose()?,
        method: args.method,
        signal: args.signal.as_deref(),
        cell: args.cell,
        device: args.device,
        threads: args.threads,
        seed: args.seed,
        iterations: args.iterations,
        batch: args.batch,
        chunk: args.chunk,
        update: args.update,
        lr: args.lr,
        data: args.data.as_ref(),
        synthetic: args.synthetic.map(|kind| Synthetic { kind }),
    };
    Table::try_from(flags).context("a flag is out of range")
}

/// Choices between kinds of values, and features: others replace them as a whole.
const REPLACED: [&str; 2] = ["held_out", "features"];

/// Lays `over` over `base`, table by table.
pub(crate) fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) if !REPLACED.contains(&key.as_str()) => {
                merge(base, over)
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
