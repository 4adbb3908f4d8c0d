//! Running the program.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The program, with arguments.
pub(crate) fn eprop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eprop"));
    command.args(arguments).env("RUST_BACKTRACE", "1");
    command
}

/// The program, with arguments, which signals end even where they do not end this test, as in the background of a script.
#[cfg(unix)]
pub(crate) fn interruptible(arguments: &[&str]) -> Command {
    if cfg!(not(target_os = "linux")) {
        return eprop(arguments);
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_eprop")]).args(arguments);
    command
}

/// Sends a signal by its name.
#[cfg(unix)]
pub(crate) fn signal(process: &std::process::Child, name: &str) {
    let kill = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
}

/// Waits until something holds.
pub(crate) fn wait_until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "it has not come to pass");
        std::thread::sleep(Duration::from_millis(1));
    }
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
