//! Progress of a run: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Plain lines come at most this often.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows how far a run is.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    total: usize,
    last_line: Option<Instant>,
}

impl Progress {
    /// Progress of `total` iterations.
    pub fn new(total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {eta} left");
            let bar = ProgressBar::new(total as u64);
            bar.with_style(style.expect("a valid template"))
        });
        Self { bar, total, last_line: None }
    }

    /// After an iteration, counted from 1.
    pub fn update(&mut self, iteration: usize, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(message());
            bar.set_position(iteration as u64);
            return;
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        if due || iteration == self.total {
            // Training goes on where nobody can see its progress.
            let _ = writeln!(std::io::stderr(), "{iteration:>6}/{}  {}", self.total, message());
            self.last_line = Some(Instant::now());
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
