//! Tables of time and memory, as Markdown.
//!
//! ```console
//! $ cargo bench --bench table                      # e-prop, BPTT and the simulation alone
//! $ cargo bench --bench table -- --peers python3   # other programs beside ours; needs jax
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use eprop_benches::{Workload, median};
use eprop_cli::bench::BenchMethod;
use eprop_cli::method::CellName;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// BPTT is left out where more currents than this, over all steps, would have to be remembered: autodiff keeps some
/// hundred bytes for each.
const MAX_BPTT_CURRENTS: u64 = 40_000_000;

#[derive(Parser)]
struct Args {
    /// Compare with the XLA program benches/peers/jax_eprop.py, run by this Python
    #[arg(long, value_name = "PYTHON")]
    peers: Option<PathBuf>,
    /// How often each is measured, in turn
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Only the smallest workloads
    #[arg(long)]
    quick: bool,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match &args.peers {
        Some(python) => peers(python, &args),
        None => table(&args),
    }
}

/// Sizes by neurons and by steps.
fn workloads(quick: bool) -> Vec<Workload> {
    let mut workloads = Vec::new();
    for cell in [CellName::Lif, CellName::Alif, CellName::Lstm] {
        for batch in [1, 32] {
            let workload = |neurons, steps| Workload { cell, inputs: 40, neurons, outputs: 2, steps, batch };
            if quick {
                workloads.push(workload(100, 250));
                continue;
            }
            workloads.extend([100, 200, 400, 800].map(|neurons| workload(neurons, 250)));
            workloads.extend([1000, 4000, 16_000].map(|steps| workload(100, steps)));
        }
    }
    workloads
}

fn table(args: &Args) -> Result<()> {
    println!(
        "| workload | e-prop | BPTT by kernels | BPTT by autodiff | autodiff / e-prop | simulation alone | \
         e-prop / simulation |"
    );
    println!("|---|---|---|---|---|---|---|");
    for workload in workloads(args.quick) {
        let values = [workload.steps, workload.batch, workload.neurons].map(u64::from);
        let gates = if workload.cell == CellName::Lstm { 4 } else { 1 };
        let bptt = gates * values.iter().product::<u64>() <= MAX_BPTT_CURRENTS;
        let mut methods = vec![BenchMethod::Eprop, BenchMethod::Forward];
        if bptt {
            methods.extend([BenchMethod::Bptt, BenchMethod::BpttAutodiff]);
        }
        let mut times = vec![Vec::new(); methods.len()];
        let mut bytes = vec![0; methods.len()];
        for _ in 0..args.rounds {
            for (index, &method) in methods.iter().enumerate() {
                let measurement = workload.measure(method, 1, &ALLOCATOR)?;
                times[index].push(measurement.ms_median);
                bytes[index] = bytes[index].max(measurement.peak_live_bytes);
            }
        }
        let times: Vec<_> = times.iter().map(|times| median(times)).collect();
        let cell = |index: usize| {
            let megabytes = bytes[index] as f64 / 1e6;
            format!("{} ms, {megabytes:.1} MB", three_digits(times[index]))
        };
        let of_bptt = match bptt {
            true => format!("{} | {} | {}", cell(2), cell(3), three_digits(times[3] / times[0])),
            false => "too large | too large |".into(),
        };
        let forward = three_digits(times[0] / times[1]);
        println!("| {} | {} | {of_bptt} | {} | {forward} |", workload.title(), cell(0), cell(1));
    }
    Ok(())
}

fn three_digits(number: f64) -> String {
    let decimals = (2.0 - number.abs().log10().floor()).clamp(0.0, 2.0) as usize;
    format!("{number:.decimals$}")
}

/// The workloads on which other programs are measured, with their modes.
fn compared(quick: bool) -> Vec<(Workload, &'static [&'static str])> {
    let lif = Workload { cell: CellName::Lif, inputs: 100, neurons: 100, outputs: 3, steps: 1000, batch: 1 };
    let alif =
        Workload { cell: CellName::Alif, inputs: 40, neurons: 100, outputs: 2, steps: 2250, batch: 32 };
    let lstm =
        Workload { cell: CellName::Lstm, inputs: 40, neurons: 200, outputs: 61, steps: 300, batch: 16 };
    let mut compared: Vec<(Workload, &[&str])> = vec![(lif, &["chunk", "online", "sg", "bptt"])];
    if !quick {
        compared.extend([
            (Workload { batch: 32, ..lif }, &["chunk", "online", "sg", "bptt"][..]),
            (alif, &["chunk", "online", "sg", "bptt"]),
            (lstm, &["chunk", "online", "sg", "bptt"]),
            (Workload { neurons: 400, steps: 500, ..alif }, &["chunk", "sg", "bptt"]),
        ]);
    }
    compared
}

fn peers(python: &Path, args: &Args) -> Result<()> {
    println!("| workload | e-prop | BPTT | XLA program | time | time / e-prop |");
    println!("|---|---|---|---|---|---|");
    for (workload, modes) in compared(args.quick) {
        let (mut ours, mut our_bptt) = (Vec::new(), Vec::new());
        let mut theirs = vec![Vec::new(); modes.len()];
        for _ in 0..args.rounds {
            for (mode, times) in modes.iter().zip(&mut theirs) {
                ours.push(workload.measure(BenchMethod::Eprop, 7, &ALLOCATOR)?.ms_median);
                times.push(peer(python, &workload, mode)?);
            }
            our_bptt.push(workload.measure(BenchMethod::Bptt, 7, &ALLOCATOR)?.ms_median);
        }
        let (ours, our_bptt) = (median(&ours), median(&our_bptt));
        for (mode, times) in modes.iter().zip(&theirs) {
            let time = median(times);
            let [ours_ms, bptt_ms, time_ms, ratio] = [ours, our_bptt, time, time / ours].map(three_digits);
            let title = workload.title();
            println!("| {title} | {ours_ms} ms | {bptt_ms} ms | {mode} | {time_ms} ms | {ratio} |");
        }
    }
    Ok(())
}

/// Median time in ms of a training step of the XLA program.
fn peer(python: &Path, workload: &Workload, mode: &str) -> Result<f64> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/jax_eprop.py");
    let Workload { inputs, neurons, outputs, steps, batch, .. } = workload;
    let sizes = [inputs, neurons, outputs, steps, batch].map(ToString::to_string);
    let output = Command::new(python)
        .arg(&program)
        .args([workload.cell_name(), mode])
        .args(sizes)
        .output()
        .with_context(|| format!("cannot run {}", python.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", program.display(), errors.lines().last().unwrap_or_default());
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = printed.lines().last().unwrap_or_default();
    let report: serde_json::Value = serde_json::from_str(line).context("the program's report")?;
    report["ms"].as_f64().context("the program's report has no `ms`")
}
