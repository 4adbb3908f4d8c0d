//! Workloads of the benchmarks, and how they are measured: in turn, since machines change their speed.

use anyhow::Result;
use eprop_cli::bench::{BenchArgs, BenchMethod, Measurement, run};
use eprop_cli::config::{SyntheticName, Update};
use eprop_cli::device::DeviceName;
use eprop_cli::method::CellName;
use peak_alloc::PeakAlloc;

/// A network and what it is trained on.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// The cell.
    pub cell: CellName,
    /// Number of inputs.
    pub inputs: u32,
    /// Number of neurons.
    pub neurons: u32,
    /// Number of outputs.
    pub outputs: u32,
    /// T.
    pub steps: u32,
    /// Sequences in a batch.
    pub batch: u32,
}

impl Workload {
    /// Times a few steps.
    ///
    /// # Errors
    ///
    /// Those of [`run`].
    pub fn measure(&self, method: BenchMethod, repeats: u32, allocator: &PeakAlloc) -> Result<Measurement> {
        let &Self { cell, inputs, neurons, outputs, steps, batch } = self;
        let device = DeviceName::Flex;
        let args = BenchArgs {
            cell,
            method,
            inputs,
            neurons,
            outputs,
            steps,
            batch,
            chunk: None,
            synthetic: SyntheticName::None,
            update: Update::Sequence,
            device,
            repeats,
            json: false,
        };
        run(&args, allocator)
    }

    /// The cell's name.
    pub fn cell_name(&self) -> &'static str {
        match self.cell {
            CellName::Lif => "lif",
            CellName::Alif => "alif",
            CellName::Lstm => "lstm",
        }
    }

    /// `ALIF 40-100-2, T 2250, B 32`.
    pub fn title(&self) -> String {
        let Self { inputs, neurons, outputs, steps, batch, .. } = self;
        format!("{} {inputs}-{neurons}-{outputs}, T {steps}, B {batch}", self.cell_name().to_uppercase())
    }
}

/// The middle of some numbers; of an even number of them, the mean of the two in the middle.
///
/// # Panics
///
/// If there is none.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}
