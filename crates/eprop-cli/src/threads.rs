//! The threads that share the work on a CPU: those of rayon, by which Burn and e-prop's kernels work.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once, mpsc};
use std::thread;

use anyhow::{Result, ensure};
use rayon::{ThreadBuilder, ThreadPoolBuilder};

/// Largest number.
const MAX_THREADS: usize = 1024;

/// How many threads there are where it is not said: as many as RAYON_NUM_THREADS says, or one for each core.
pub fn default_number() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|number| number.parse().ok());
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    asked.filter(|&number| number > 0).unwrap_or_else(cores).min(MAX_THREADS)
}

/// Checks the number of threads in settings.
///
/// # Errors
///
/// If it is out of range.
pub fn validate(number: usize) -> Result<()> {
    let in_range = (1..=MAX_THREADS).contains(&number);
    ensure!(in_range, "threads is {number}, but must be 1 to {MAX_THREADS}");
    Ok(())
}

/// Makes the process's threads, so many of them, unless it has some. Where they cannot be had, which a line on the standard error says,
/// the calling thread does all the work.
pub fn make(number: usize) {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let pool = match Waiting::start(number) {
            Some(threads) => {
                let pool = ThreadPoolBuilder::new().num_threads(number);
                pool.spawn_handler(|work| threads.give(work)).build_global()
            }
            None => {
                if number > 1 {
                    // Where nobody can see it, the work is done all the same.
                    let line = "cannot be had: one does all the work, so that numbers may differ in their last digits";
                    let _ = writeln!(io::stderr(), "{number} threads {line}");
                }
                ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()
            }
        };
        // It fails only where a process that this is a part of has made its threads before.
        let _ = pool;
    });
}

/// Threads without work. rayon's pool can be made only once in a process, so that its threads must be there before.
struct Waiting(mpsc::Sender<ThreadBuilder>);

impl Waiting {
    /// `None` if not all of so many threads can be made.
    fn start(number: usize) -> Option<Self> {
        let (sender, receiver) = mpsc::channel::<ThreadBuilder>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..number {
            let receiver = receiver.clone();
            let work = move || {
                let work = receiver.lock().expect("no thread panics while it waits").recv();
                // Without work the pool has not been made, and the thread ends.
                work.into_iter().for_each(ThreadBuilder::run);
            };
            thread::Builder::new().spawn(work).ok()?;
        }
        Some(Self(sender))
    }

    fn give(&self, work: ThreadBuilder) -> io::Result<()> {
        self.0.send(work).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_cannot_all_be_had_end_without_work() {
        let threads = Waiting::start(3).expect("three threads");
        drop(threads);
        assert!(validate(0).is_err() && validate(MAX_THREADS + 1).is_err());
        assert!((1..=MAX_THREADS).contains(&default_number()));
    }
}
