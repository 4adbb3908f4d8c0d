//! The commands that README and book show can be given.

use std::fs;

use clap::Parser;
use eprop_cli::cli::Cli;
use libtest_mimic::{Failed, Trial};

use crate::chapter::{Chapter, chapters, repository};
use crate::pages::report;

/// The trials of this file.
pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test("commands can be given", commands_can_be_given)]
}

fn commands_can_be_given() -> Result<(), Failed> {
    let mut pages = chapters();
    pages.push(Chapter::read(&repository().join("README.md")));
    let fault = |page: &Chapter, command: String| {
        let reason = fault(&command)?;
        Some(format!("{}: {command}: {reason}", page.name()))
    };
    let faults =
        pages.iter().flat_map(|page| commands(page).into_iter().filter_map(|command| fault(page, command)));
    report(faults.collect())
}

/// The commands of a page: in its consoles, and those of cargo that its text names.
fn commands(page: &Chapter) -> Vec<String> {
    let consoles = page.fences.iter().filter(|(language, _)| language == "console");
    let typed = consoles.flat_map(|(_, text)| {
        let text = text.replace("\\\n", " ");
        text.lines().filter_map(|line| line.strip_prefix("$ ").map(str::to_owned)).collect::<Vec<_>>()
    });
    let named =
        page.text.split('`').filter(|code| code.starts_with("cargo run ") || code.starts_with("eprop "));
    typed.chain(named.map(|code| code.replace('\n', " "))).collect()
}

/// What is wrong with a command, if it is one of ours.
fn fault(command: &str) -> Option<String> {
    // Left out is what the reader puts in, and what follows in the shell.
    let command = command.split(" # ").next().unwrap_or(command).replace(['…', '"'], "");
    let words: Vec<&str> = command.split_whitespace().collect();
    let own = match words.as_slice() {
        ["cargo", "run", "--release", options @ ..] => {
            let end = options.iter().position(|word| *word == "--").unwrap_or(options.len());
            let (of_cargo, own) = options.split_at(end);
            let own = own.get(1..).unwrap_or_default();
            match of_cargo {
                ["--bin", "figures", ..] => return own.iter().find_map(|name| fault_of_figure(name)),
                _ if of_cargo.contains(&"--example") => {
                    let name = of_cargo.iter().skip_while(|word| **word != "--example").nth(1)?;
                    return fault_of_example(name);
                }
                [] | ["--features", _] => own,
                _ => return Some("cargo has no such options here".into()),
            }
        }
        ["eprop", own @ ..] => own,
        _ => return None,
    };
    // A name alone speaks of the command.
    let help: &[&str] = if own.len() == 1 { &["--help"] } else { &[] };
    let error = Cli::try_parse_from([&["eprop"], own, help].concat()).err()?;
    error.use_stderr().then(|| error.to_string())
}

fn fault_of_example(name: &str) -> Option<String> {
    let is_placeholder = name.chars().all(|letter| letter.is_ascii_uppercase());
    let exists = is_placeholder || repository().join("examples").join(name).join("main.rs").exists();
    (!exists).then(|| "there is no such example".into())
}

/// Names of figures are those in the sources of the program.
fn fault_of_figure(name: &str) -> Option<String> {
    let sources =
        ["drawing", "program", "comparison"].map(|file| repository().join(format!("book/figures/{file}.rs")));
    // They are the first argument of `new`, the first of a pair, or a field.
    let ways = [format!("(\"{name}\","), format!("name: \"{name}\",")];
    let is_named =
        |path| fs::read_to_string(path).is_ok_and(|text| ways.iter().any(|way| text.contains(way.as_str())));
    let exists = ["--long", "--list", "NAME"].contains(&name) || sources.iter().any(is_named);
    (!exists).then(|| "figures knows no such name".into())
}
