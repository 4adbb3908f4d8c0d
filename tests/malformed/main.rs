//! Malformed files: whatever bytes a file holds, its reader answers with a value or with an error that names the file, and takes
//! little memory.
//!
//! The allocator is the process's, so formats are gone through one after the other.

mod data_sets;
mod fixtures;
mod format;
mod mutation;
mod recordings;
mod records;
mod settings;

use std::panic;
use std::sync::Mutex;

use format::Format;
use libtest_mimic::{Arguments, Failed, Trial};
use mutation::Mutator;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What the last panic said, and where.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Most bytes that reading a file may take, beside those that live already. The files are smaller than 100 kB.
const MOST_BYTES: usize = 64 << 20;

/// Most bytes that reading a long recording may take, of which 2 MB are kept. The file has 23 MB.
const MOST_OF_LONG: usize = 8 << 20;

/// Most lengths to which a file is cut. Shorter files are cut to all lengths.
const CUTS: usize = 1000;

/// Faults of a format that are told.
const TOLD: usize = 5;

const FORMATS: [fn() -> Format; 19] = [
    recordings::wav,
    recordings::rates,
    recordings::sphere,
    recordings::transcript,
    data_sets::idx,
    data_sets::labels,
    data_sets::spikes,
    data_sets::text,
    records::stream,
    records::windows,
    records::hook_alone,
    records::network_parameters,
    records::checkpoint,
    fixtures::tensors,
    fixtures::description,
    settings::run,
    settings::asked,
    settings::one_shot,
    settings::statistics,
];

fn main() {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trials = FORMATS.into_iter().map(|format| {
        let format = format();
        Trial::test(format.name, move || examine(&format))
    });
    let trials = trials.chain([Trial::test("a long recording", long_recording)]).collect();
    // One message for each of thousands of files would bury the others.
    panic::set_hook(Box::new(|info| *PANIC.lock().expect("never held in a panic") = info.to_string()));
    libtest_mimic::run(&arguments, trials).exit();
}

/// Reads sound files, files that must be refused, cut files and mutated ones.
fn examine(format: &Format) -> Result<(), Failed> {
    for (index, sound) in format.sound.iter().enumerate() {
        let Attempt { outcome, peak } = attempt(format, sound);
        outcome.map_err(|error| format!("sound file {index}: {error}"))?;
        if peak > MOST_BYTES {
            return Err(format!("sound file {index}: {peak} bytes were taken").into());
        }
    }
    let mut tally = Tally::default();
    for (index, bytes) in format.refused.iter().enumerate() {
        let attempt = attempt(format, bytes);
        if attempt.outcome.is_ok() {
            tally.faults.push(format!("file {index} of those to be refused: accepted"));
        }
        tally.add(format, &format!("file {index} of those to be refused"), attempt);
    }
    for sound in &format.sound {
        let step = sound.len().div_ceil(CUTS).max(1);
        for length in (0..sound.len()).step_by(step) {
            tally.add(format, &format!("cut to {length} bytes"), attempt(format, &sound[..length]));
        }
    }
    let mut mutator = Mutator::new(&format.sound);
    for number in 0..format.variants {
        tally.add(format, &format!("variant {number}"), attempt(format, &mutator.variant()));
    }
    let Tally { files, refused, peak, faults } = tally;
    println!("{}: {files} malformed files, {refused} refused, at most {} kB", format.name, peak / 1000);
    match faults.len() {
        0 => Ok(()),
        count => Err(format!("{count} faults:\n{}", faults[..count.min(TOLD)].join("\n")).into()),
    }
}

/// Reading a recording takes memory for what is kept of it, not for the file.
fn long_recording() -> Result<(), Failed> {
    let format = recordings::long_wav();
    let Attempt { outcome, peak } = attempt(&format, &format.sound[0]);
    outcome.map_err(|error| error.to_string())?;
    match peak > MOST_OF_LONG {
        true => Err(format!("{peak} bytes were taken").into()),
        false => Ok(()),
    }
}

/// What came of the malformed files of a format.
#[derive(Default)]
struct Tally {
    files: usize,
    refused: usize,
    peak: usize,
    faults: Vec<String>,
}

impl Tally {
    fn add(&mut self, format: &Format, what: &str, Attempt { outcome, peak }: Attempt) {
        self.files += 1;
        self.peak = self.peak.max(peak);
        let fault = match outcome {
            Err(Refusal::Panic(message)) => Some(format!("panic: {message}")),
            Err(Refusal::Error(message)) if !message.contains(format.file) => {
                Some(format!("`{message}` does not name {}", format.file))
            }
            _ if peak > MOST_BYTES => Some(format!("{peak} bytes were taken")),
            Err(Refusal::Error(_)) => {
                self.refused += 1;
                None
            }
            Ok(()) => None,
        };
        self.faults.extend(fault.map(|fault| format!("{what}: {fault}")));
    }
}

/// What came of a file, and the most bytes that this took.
struct Attempt {
    outcome: Result<(), Refusal>,
    peak: usize,
}

#[derive(Debug)]
enum Refusal {
    Error(String),
    Panic(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Error(message) => write!(f, "{message}"),
            Self::Panic(message) => write!(f, "panic: {message}"),
        }
    }
}

fn attempt(format: &Format, bytes: &[u8]) -> Attempt {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| (format.read)(bytes)));
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    let outcome = match outcome {
        Ok(outcome) => outcome.map_err(Refusal::Error),
        Err(_) => Err(Refusal::Panic(PANIC.lock().expect("never held in a panic").clone())),
    };
    Attempt { outcome, peak }
}
