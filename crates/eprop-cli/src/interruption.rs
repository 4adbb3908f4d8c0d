//! Signals that ask a run to stop: the first asks for a stop at the next safe place, another ends the program at once.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::raw::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Signals that ask for a stop.
const CAUGHT: &[c_int] = &[
    SIGINT,
    SIGTERM,
    #[cfg(unix)]
    SIGHUP,
];

/// How soon the user is told that a signal has arrived.
const POLL: Duration = Duration::from_millis(50);
/// Signals that follow the first within this time belong to it: `timeout` and terminals that close send several.
const GRACE: Duration = Duration::from_millis(200);

/// A shell adds this to the number of the signal that ended a program.
const ENDED_BY_SIGNAL: c_int = 128;

/// Whether a run is asked to stop, and by which signal.
#[derive(Debug)]
pub struct Interruption {
    asked: Arc<AtomicBool>,
    /// 0 for none.
    signal: Arc<AtomicUsize>,
}

impl Interruption {
    /// Catches the signals from now on, but for those that whoever started the program had it ignore: what `nohup` began goes on when
    /// its terminal closes, and what a script put into the background when Ctrl-C ends the script.
    ///
    /// # Errors
    ///
    /// If a signal cannot be caught.
    pub fn caught() -> Result<Self> {
        let [asked, told] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let signal = Arc::new(AtomicUsize::new(0));
        let caught: Vec<c_int> = CAUGHT.iter().copied().filter(|&number| !is_ignored(number)).collect();
        for &number in &caught {
            // The handlers of a signal run in this order.
            flag::register_conditional_shutdown(number, ENDED_BY_SIGNAL + number, told.clone())
                .and_then(|_| flag::register_usize(number, signal.clone(), number as usize))
                .and_then(|_| flag::register(number, asked.clone()))
                .context("signals cannot be caught")?;
        }
        let tells = thread::Builder::new().spawn({
            let (signal, told) = (signal.clone(), told.clone());
            move || tell(&signal, &told)
        });
        if tells.is_err() {
            // Without a thread to tell of the first signal, each of those that follow counts.
            for &number in &caught {
                flag::register(number, told.clone()).context("signals cannot be caught")?;
            }
        }
        Ok(Self { asked, signal })
    }

    /// Asks for a stop when the standard input ends, whatever ends it.
    ///
    /// # Errors
    ///
    /// If there is no thread to wait for it.
    pub fn when_stdin_ends(&self) -> Result<()> {
        let asked = self.asked.clone();
        let wait = move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            asked.store(true, Ordering::Relaxed);
        };
        let thread = thread::Builder::new().spawn(wait);
        thread.map(drop).context("no thread can be made that waits for the end of the standard input")
    }

    /// Set as soon as a stop is asked for.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// The exit status of a program that has stopped as it was asked to.
    pub fn status(&self) -> u8 {
        let signal = match self.signal.load(Ordering::Relaxed) {
            0 => SIGINT as usize,
            signal => signal,
        };
        (ENDED_BY_SIGNAL as usize + signal) as u8
    }
}

/// Waits for the first signal, tells of it, and lets the next one end the program.
fn tell(signal: &AtomicUsize, told: &AtomicBool) {
    let number = loop {
        match signal.load(Ordering::Relaxed) {
            0 => thread::sleep(POLL),
            number => break number as c_int,
        }
    };
    let name = low_level::signal_name(number).unwrap_or("a signal");
    let mut output = io::stderr();
    // Not behind a progress bar.
    let start = if output.is_terminal() { "\n" } else { "" };
    let line =
        "stopping at the next safe place; another signal ends the program at once, at its last checkpoint";
    // Where nobody can see it, the run stops all the same.
    let _ = writeln!(output, "{start}{name}: {line}");
    thread::sleep(GRACE);
    told.store(true, Ordering::Relaxed);
}

/// Whether the program was started with a signal ignored. Where the system does not tell, SIGHUP counts as ignored: it keeps what it
/// does by itself, which is to end the program at its last checkpoint, or under `nohup` nothing.
fn is_ignored(signal: c_int) -> bool {
    match fs::read_to_string("/proc/self/status").ok().as_deref().and_then(ignored) {
        Some(mask) => mask >> (signal - 1) & 1 == 1,
        None => !matches!(signal, SIGINT | SIGTERM),
    }
}

/// The ignored signals in a process's status on Linux: a bit for each, the lowest for signal 1.
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_told_from_a_status() {
        let status = "Name:\teprop\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        assert_eq!(ignored(status), Some(0x1003)); // 1, 2 and 13
        assert_eq!(ignored("Name:\teprop\n"), None);
        assert_eq!(ignored("SigIgn:\tmany\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn rust_programs_ignore_broken_pipes_and_are_ended_by_the_system() {
        assert!(is_ignored(signal_hook::consts::SIGPIPE));
        assert!(!is_ignored(signal_hook::consts::SIGKILL));
    }
}
