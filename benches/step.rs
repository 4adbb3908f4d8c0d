//! Criterion benchmarks of a training step: e-prop, BPTT and the simulation alone, for each cell.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use eprop_benches::Workload;
use eprop_cli::bench::BenchMethod;
use eprop_cli::method::CellName;
use peak_alloc::PeakAlloc;

static ALLOCATOR: PeakAlloc = PeakAlloc;

fn steps(criterion: &mut Criterion) {
    for cell in [CellName::Lif, CellName::Alif, CellName::Lstm] {
        let workload = Workload { cell, inputs: 40, neurons: 100, outputs: 2, steps: 250, batch: 32 };
        let mut group = criterion.benchmark_group(workload.title());
        group.sample_size(10);
        for (name, method) in [
            ("e-prop", BenchMethod::Eprop),
            ("BPTT", BenchMethod::Bptt),
            ("BPTT by autodiff", BenchMethod::BpttAutodiff),
            ("forward", BenchMethod::Forward),
        ] {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    let repeats = u32::try_from(iterations).unwrap_or(u32::MAX);
                    let measurement = workload.measure(method, repeats, &ALLOCATOR).expect("a CPU device");
                    Duration::from_secs_f64(1e-3 * measurement.ms_median * iterations as f64)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
