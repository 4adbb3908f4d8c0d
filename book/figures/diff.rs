//! A Burn project before and after, as a diff.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::book::Book;

/// What `diff` says of the two files of the example.
pub(crate) fn write(book: &Book) -> Result<()> {
    let mut diff = Command::new("diff");
    diff.args(["-u", "--label", "before.rs", "--label", "after.rs", "before.rs", "after.rs"]);
    let output = diff.current_dir(book.repository().join("examples/burn-project")).output();
    let output = output.context("diff cannot be started")?;
    // 1 says that they differ.
    ensure!(output.status.code() == Some(1), "diff: {}", String::from_utf8_lossy(&output.stderr));
    book.write_output("burn-project.diff", &String::from_utf8_lossy(&output.stdout))
}
