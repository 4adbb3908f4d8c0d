//! The `eprop` program.

use clap::Parser;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[derive(Parser)]
enum Cmd {
    Bench(eprop_cli::bench::BenchArgs),
}

fn main() {
    let Cmd::Bench(args) = Cmd::parse();
    let m = eprop_cli::bench::run(&args, &ALLOCATOR);
    println!("{}", serde_json::to_string(&m).unwrap());
}
