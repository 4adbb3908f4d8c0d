//! What the library has said to the log.

use std::sync::{Mutex, Once};

use log::{LevelFilter, Log, Metadata, Record};

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Listener;

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with("burn_eprop")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            SAID.lock().expect("never held in a panic").push(format!(
                "{}: {}",
                record.level(),
                record.args()
            ));
        }
    }

    fn flush(&self) {}
}

/// What is said from now on, by whatever test of the process.
///
/// # Panics
///
/// If another logger is there.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Listener).expect("no other logger");
        log::set_max_level(LevelFilter::Warn);
    });
}

/// All that has been said of something.
pub fn about(what: &str) -> Vec<String> {
    let said = SAID.lock().expect("never held in a panic");
    said.iter().filter(|line| line.contains(what)).cloned().collect()
}
