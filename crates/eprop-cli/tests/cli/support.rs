//! Running the program.

use std::path::Path;
use std::process::{Command, Output};

/// The program, with arguments.
pub(crate) fn eprop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eprop"));
    command.args(arguments).env("RUST_BACKTRACE", "1");
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    eprop(arguments).output().expect("the program starts")
}

/// Runs the program and expects it to succeed; its standard output.
#[track_caller]
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs the program and expects one line on standard error that holds all of `words`, and status 2.
#[track_caller]
pub(crate) fn refuse(arguments: &[&str], words: &[&str]) {
    let output = run(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    let lines: Vec<&str> = message.lines().filter(|line| !line.contains("  loss ")).collect();
    assert_eq!(lines.len(), 1, "{arguments:?}: {message}");
    assert!(lines[0].starts_with("error: "), "{message}");
    for word in words {
        assert!(lines[0].contains(word), "`{word}` is not in: {message}");
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
