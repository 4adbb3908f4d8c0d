//! What a comparison leaves: table, curves and figure.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use eprop_tasks::plot::{Lines, Scale, Series, learning_curve};
use serde_json::Value;

use super::contestant::ERROR;
use super::{Curve, Planned};
use crate::cli::{CompareArgs, TaskChoice};
use crate::output::{self, escaped};
use crate::plots::SOLVED;
use crate::run_folder::RunFolder;
use crate::train::SOLVED_AT;

/// Points of a curve; of more iterations, every so many-th is drawn.
const POINTS: usize = 500;
/// Points of a curve of means.
const MEANS: usize = 60;

/// What stands for the numbers of a run that failed.
const FAILED: &str = "failed";

/// Writes the comparison's files and prints the table.
pub(super) fn report(
    args: &CompareArgs,
    folder: &RunFolder,
    planned: &[Planned],
    curves: &[Curve],
) -> Result<()> {
    let mut csv = String::new();
    for (index, curve) in curves.iter().enumerate() {
        let of_run = curve.metrics.to_csv();
        for (line, text) in of_run.lines().enumerate() {
            match line {
                0 if index == 0 => writeln!(csv, "{},seed,{text}", what(args)),
                0 => Ok(()),
                _ => writeln!(csv, "{},{},{text}", quoted(&curve.name), curve.seed),
            }
            .expect("strings can be written to");
        }
    }
    folder.write("compare.csv", csv.as_bytes())?;
    let table = table(what(args), planned, curves);
    folder.write("compare.md", table.as_bytes())?;
    draw(args, &folder.file("compare.svg"), &names(planned), curves)?;
    output::print(table.trim_end())?;
    output::print(format_args!("in {}: compare.csv, compare.md, compare.svg", folder.path().display()))
}

/// A text as a field of CSV.
fn quoted(text: &str) -> Cow<'_, str> {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")).into(),
        false => text.into(),
    }
}

/// A text as a cell of a Markdown table.
fn cell(text: &str) -> String {
    escaped(text).replace('|', "\\|")
}

/// What a table shows of each run: named numbers of its evaluation. A task that is never solved is solved at infinity.
fn measures(curve: &Curve) -> Vec<(String, f64)> {
    let object = curve.evaluation.as_object().into_iter().flatten();
    let number = |(name, value): (&String, &Value)| match value.is_null() {
        true => Some((name.clone(), f64::INFINITY)),
        false => Some((name.clone(), value.as_f64()?)),
    };
    let numbers: Vec<_> = object.filter_map(number).collect();
    let progress: Vec<_> = numbers
        .iter()
        .filter(|(name, _)| name.starts_with("solved_") && name != SOLVED_AT)
        .cloned()
        .collect();
    let errors = ["error_before", ERROR];
    let of_error = errors.iter().filter_map(|wanted| numbers.iter().find(|(name, _)| name == wanted));
    let of_error: Vec<_> = of_error.cloned().collect();
    if !of_error.is_empty() {
        return of_error;
    }
    let others = ["firing_rate_hz", "loss", "sequences"];
    match progress.is_empty() {
        true => numbers.into_iter().filter(|(name, _)| !others.contains(&name.as_str())).collect(),
        false => progress,
    }
}

/// What is compared.
fn what(args: &CompareArgs) -> &'static str {
    match args.task {
        TaskChoice::Sequence(_) => "method",
        TaskChoice::OneShot(_) => "signal",
    }
}

/// Those that are compared, in their order.
fn names(planned: &[Planned]) -> Vec<&str> {
    let mut names: Vec<_> = planned.iter().map(|run| run.name.as_str()).collect();
    names.dedup();
    names
}

/// A row for each of them: the median of each measure and its quartiles; by seed, the last measure but the time of solution, and that time. Of
/// a single seed there is nothing but its values.
fn table(what: &str, planned: &[Planned], curves: &[Curve]) -> String {
    let columns: Vec<String> = measures(&curves[0]).into_iter().map(|(name, _)| name).collect();
    let several = planned.iter().any(|run| run.settings.seed() != planned[0].settings.seed());
    let last = columns.iter().rfind(|name| *name != SOLVED_AT);
    let by_seed: Vec<&String> = match several {
        true => last.into_iter().chain(columns.iter().find(|name| *name == SOLVED_AT)).collect(),
        false => Vec::new(),
    };
    let plain = |name: &String| cell(&name.replace('_', " "));
    let of_seeds = by_seed.iter().map(|name| format!("{} by seed", plain(name)));
    let header: Vec<_> = columns.iter().map(plain).chain(of_seeds).collect();
    let mut table = format!("| {what} | {} |\n|---|{}\n", header.join(" | "), "---|".repeat(header.len()));
    for contestant in names(planned) {
        let value = |run: &Planned, name: &str| {
            let seed = run.settings.seed();
            let curve = curves.iter().find(|curve| curve.name == contestant && curve.seed == seed)?;
            measures(curve).into_iter().find(|(found, _)| found == name).map(|found| found.1)
        };
        let runs: Vec<_> = planned.iter().filter(|run| run.name == contestant).collect();
        let of = |name: &String| runs.iter().map(|run| value(run, name)).collect::<Vec<_>>();
        let summary = columns.iter().map(|name| {
            let values: Vec<f64> = of(name).into_iter().flatten().collect();
            if values.is_empty() {
                return FAILED.to_owned();
            }
            let [low, middle, high] = quartiles(values).map(short);
            if several { format!("{middle} ({low} to {high})") } else { middle }
        });
        let seeds = by_seed.iter().map(|name| {
            let values = of(name).into_iter().map(|value| value.map_or(FAILED.to_owned(), short));
            values.collect::<Vec<_>>().join(", ")
        });
        let cells: Vec<_> = summary.chain(seeds).collect();
        writeln!(table, "| {} | {} |", cell(contestant), cells.join(" | "))
            .expect("strings can be written to");
    }
    table
}

/// A number with up to three decimals, or four if it is below 0.1.
fn short(number: f64) -> String {
    if number.is_infinite() {
        return "never".into();
    }
    let decimals = if number.abs() < 0.1 { 4 } else { 3 };
    let text = format!("{number:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The lower quartile, the median and the upper quartile, interpolated; NaN of nothing.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|share| {
        let place = share * (values.len().max(1) - 1) as f64;
        let (below, above) = (values.get(place.floor() as usize), values.get(place.ceil() as usize));
        match (below, above) {
            // Between equal values, which may be infinite, there is nothing to interpolate.
            (Some(below), Some(above)) if below == above || place.fract() == 0.0 => *below,
            (Some(below), Some(above)) => below + (above - below) * place.fract(),
            _ => f64::NAN,
        }
    })
}

/// The measure over training, the median of all seeds in a band of their quartiles.
fn draw(args: &CompareArgs, path: &Path, names: &[&str], curves: &[Curve]) -> Result<()> {
    let one_shot = matches!(args.task, TaskChoice::OneShot(_));
    let drawn = names.iter().filter(|name| curves.iter().any(|curve| curve.name == **name));
    let series = drawn.map(|name| {
        let runs: Vec<_> = curves.iter().filter(|curve| curve.name == *name).collect();
        let length = runs.iter().map(|run| run.values.len()).max().unwrap_or(0);
        let points = if one_shot { MEANS } else { POINTS };
        let stretch = length.div_ceil(points).max(1);
        let places = (0..length).step_by(stretch);
        // A run that ended earlier, since its task was solved, stays where it was.
        let at_place = |run: &Curve, place: usize| run.values[place.min(run.values.len() - 1)];
        // Errors of single batches scatter: their mean over a stretch is drawn.
        let value = |run: &Curve, place: usize| match one_shot {
            true => {
                let stretch = place..(place + stretch).min(length);
                stretch.clone().map(|place| at_place(run, place)).sum::<f64>() / stretch.len() as f64
            }
            false => at_place(run, place),
        };
        let at = |place: usize| quartiles(runs.iter().map(|run| value(run, place)).collect());
        // Before the first look at validation data there is nothing to draw.
        let known = |(_, band): &(usize, [f64; 3])| band.iter().all(|value| value.is_finite());
        let (places, bands): (Vec<usize>, Vec<[f64; 3]>) =
            places.map(|place| (place, at(place))).filter(known).unzip();
        let column = |index: usize| bands.iter().map(|band| band[index]).collect::<Vec<f64>>();
        let x: Vec<f64> = places.iter().map(|&place| place as f64 + 1.0).collect();
        Series::new(*name, &x, &column(1)).with_band(&column(0), &column(2))
    });
    let measure = &curves[0].measure;
    let (title, label) = match measure.as_str() {
        ERROR => ("Error after one update".to_owned(), "mean square error".to_owned()),
        SOLVED => ("Longest sequence solved".to_owned(), "steps".to_owned()),
        score => (score.replace('_', " "), score.replace('_', " ")),
    };
    let seeds = match args.seeds.as_slice() {
        [seed] => format!("seed {seed}"),
        seeds => format!("median and quartiles of {} seeds", seeds.len()),
    };
    let scale = if one_shot || measure == "nmse" { Scale::Log } else { Scale::Linear };
    let lines = Lines::new(title, label, series.collect()).with_scale(scale);
    let task = args.task.to_possible_value().map(|task| task.get_name().to_owned()).unwrap_or_default();
    let title = format!("{task}: {seeds}");
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
        let never = f64::INFINITY;
        assert_eq!(quartiles(vec![never, 7.0, never, never, 9.0]), [9.0, never, never]);
    }

    #[test]
    fn names_do_not_break_tables() {
        assert_eq!(quoted("eprop3:linear"), "eprop3:linear");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("a\nb"), "\"a\nb\"");
        assert_eq!(cell("a|b\nc"), "a\\|b\\nc");
    }

    #[test]
    fn numbers_are_short() {
        let found = [33.0, 0.5, 1.23456, 0.01234, f64::INFINITY].map(short);
        assert_eq!(found, ["33", "0.5", "1.235", "0.0123", "never"]);
    }
}
