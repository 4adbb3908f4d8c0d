//! Links, figures, listings and included numbers.

use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};

use crate::chapter::{Chapter, chapters, repository};

/// Where the repository's files are shown.
const SOURCES: &str = "https://github.com/burn-eprop/burn-eprop/blob/main/";

/// The trials of this file.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("every page is in the summary", every_page_is_in_the_summary),
        Trial::test("no link is dead", || each(dead_links)),
        Trial::test("every figure is there, described and explained", || each(faults_of_figures)),
        Trial::test("every figure is shown", every_figure_is_shown),
        Trial::test("listings are included from what is compiled", || each(faults_of_listings)),
        Trial::test("what is included is there", || each(missing_includes)),
    ]
}

/// Fails with the faults of all pages.
fn each(faults: fn(&Chapter) -> Vec<String>) -> Result<(), Failed> {
    let of_page = |page: &Chapter| {
        faults(page).into_iter().map(|fault| format!("{}: {fault}", page.name())).collect::<Vec<_>>()
    };
    report(chapters().iter().flat_map(of_page).collect())
}

pub(crate) fn report(faults: Vec<String>) -> Result<(), Failed> {
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}

fn files(folder: &str, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(repository().join(folder)).expect("a folder of the book");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter(|name| name.ends_with(extension)).collect()
}

fn every_page_is_in_the_summary() -> Result<(), Failed> {
    let chapters = chapters();
    let is_missing =
        |name: &String| name != "SUMMARY.md" && chapters.iter().all(|chapter| !chapter.path.ends_with(name));
    report(files("book/src", ".md").into_iter().filter(is_missing).collect())
}

fn every_figure_is_shown() -> Result<(), Failed> {
    let chapters = chapters();
    let is_shown = |name: &String| {
        let path = format!("figures/{name}");
        chapters.iter().flat_map(|chapter| &chapter.images).any(|(image, _)| *image == path)
    };
    report(files("book/src/figures", ".svg").into_iter().filter(|name| !is_shown(name)).collect())
}

fn dead_links(page: &Chapter) -> Vec<String> {
    let is_dead = |link: &&String| {
        if let Some(path) = link.strip_prefix(SOURCES) {
            return !repository().join(path.split('#').next().unwrap_or(path)).exists();
        }
        if link.starts_with("https://") || link.starts_with("mailto:") {
            return false;
        }
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let path = if file.is_empty() { page.path.clone() } else { page.relative(file) };
        let is_heading = || Chapter::read(&path).headings.iter().any(|found| found == heading);
        !path.exists() || (!heading.is_empty() && !is_heading())
    };
    page.links.iter().filter(is_dead).map(|link| format!("dead link {link}")).collect()
}

/// A figure has a text in its place, and below it a caption in italics that names the command.
fn faults_of_figures(page: &Chapter) -> Vec<String> {
    let fault = |(image, alternative): &(String, String)| {
        if !page.relative(image).exists() {
            return Some(format!("{image} is missing"));
        }
        if alternative.len() < 40 {
            return Some(format!("{image} needs a description"));
        }
        let (_, rest) = page.text.split_once(&format!("({image})"))?;
        let caption = rest.trim_start().split("\n\n").next().unwrap_or_default();
        let is_caption = caption.starts_with('*') && caption.contains('`');
        (!is_caption).then(|| format!("{image} needs a caption with its command"))
    };
    page.images.iter().filter_map(fault).collect()
}

/// Commands are typed; whatever else stands in a fence is included.
fn faults_of_listings(page: &Chapter) -> Vec<String> {
    let fault = |(language, text): &(String, String)| {
        if language.contains("ignore") {
            return Some(format!("a fence is marked {language}"));
        }
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let is_included = |line: &str| line.starts_with("{{#include ") && line.ends_with("}}");
        let is_fine = match language.as_str() {
            "console" => are_commands(text),
            _ => lines.all(is_included),
        };
        (!is_fine).then(|| format!("a listing is typed: ```{language}\n{text}"))
    };
    page.fences.iter().filter_map(fault).collect()
}

/// Whether each line begins a command, or goes on with one.
fn are_commands(console: &str) -> bool {
    let mut goes_on = false;
    console.lines().all(|line| {
        let is_fine = goes_on || line.starts_with("$ ");
        goes_on = line.ends_with('\\');
        is_fine
    })
}

fn missing_includes(page: &Chapter) -> Vec<String> {
    let fault = |(path, what): (std::path::PathBuf, Option<&str>)| {
        let place =
            || format!("{}{}", path.display(), what.map(|what| format!(":{what}")).unwrap_or_default());
        match included(&path, what) {
            Some(text) if !text.trim().is_empty() => None,
            Some(_) => Some(format!("nothing is there to include: {}", place())),
            None => Some(format!("missing: {}", place())),
        }
    };
    page.includes().into_iter().filter_map(fault).collect()
}

/// What mdBook includes of a file: all of it, a range of lines, or what stands between the marks of an anchor.
fn included(path: &Path, what: Option<&str>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let Some(what) = what else { return Some(text) };
    let bounds: Vec<&str> = what.split(':').collect();
    let line = |bound: &str, empty| if bound.is_empty() { Some(empty) } else { bound.parse::<usize>().ok() };
    let count = text.lines().count();
    let range = match bounds.as_slice() {
        [only] => line(only, 1).map(|only| (only, only)),
        [first, last] => line(first, 1).zip(line(last, count)),
        _ => None,
    };
    if let Some((first, last)) = range {
        return Some(text.lines().skip(first - 1).take(last + 1 - first).collect());
    }
    let is_mark = |line: &str, mark: &str| {
        line.split_once(mark).is_some_and(|(_, name)| name.split_whitespace().next() == Some(what))
    };
    let after = text.lines().skip_while(|line| !is_mark(line, "ANCHOR: ")).skip(1);
    Some(after.take_while(|line| !is_mark(line, "ANCHOR_END: ")).collect())
}
