//! What a command prints.

use std::fmt::Display;
use std::io::{Write, stdout};

use anyhow::{Context, Result};

/// Prints a line, or several, to the standard output.
///
/// # Errors
///
/// If the output is closed or full.
pub fn print(text: impl Display) -> Result<()> {
    let mut output = stdout().lock();
    let printed = writeln!(output, "{text}").and_then(|()| output.flush());
    printed.context("cannot write to the standard output")
}
