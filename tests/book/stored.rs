//! What was stored of a computation is still what the repository holds.

use std::fs;

use libtest_mimic::{Failed, Trial};

use crate::chapter::repository;
use crate::pages::report;

/// The trials of this file.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("the README's tables are those of the results", tables_of_the_readme),
        Trial::test("the diff is that of the two files", the_diff),
    ]
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tables_of_the_readme() -> Result<(), Failed> {
    let readme = read("README.md");
    let tables: Vec<_> = readme.split("<!-- table ").skip(1).collect();
    if tables.is_empty() {
        return Err("the README has no table".into());
    }
    let fault = |table: &&str| {
        let (name, rest) = table.split_once(" -->\n").unwrap_or((table, ""));
        let shown = rest.split("<!-- end of table -->").next().unwrap_or_default();
        let is_stored = shown == read(&format!("book/results/{name}.md"));
        (!is_stored).then(|| format!("{name}: `cargo run --release --bin figures` has not written it"))
    };
    report(tables.iter().filter_map(fault).collect())
}

/// Each part of the diff holds the lines of both files.
fn the_diff() -> Result<(), Failed> {
    let diff = read("book/outputs/burn-project.diff");
    let files = ["before", "after"].map(|name| read(&format!("examples/burn-project/{name}.rs")));
    let parts: Vec<&str> = diff.split("\n@@ -").skip(1).collect();
    let faults = parts.iter().flat_map(|part| {
        let (_, lines) = part.split_once('\n').expect("a part has lines");
        let side = |sign: char| {
            let of_side = lines.lines().filter(move |line| line.starts_with([' ', sign]));
            of_side.map(|line| format!("{}\n", &line[1..])).collect::<String>()
        };
        let sides = ['-', '+'].into_iter().zip(&files);
        sides
            .filter(|(sign, file)| !file.contains(&side(*sign)))
            .map(|(sign, _)| side(sign))
            .collect::<Vec<_>>()
    });
    let faults: Vec<String> = faults.collect();
    if parts.is_empty() { Err("no part of a diff".into()) } else { report(faults) }
}
