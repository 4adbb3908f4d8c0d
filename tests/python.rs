//! The Python program of the book runs networks from their files alone, as the library does.
//!
//! The trials are ignored where there is no Python 3 (`python3`).

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use burn::tensor::{DType, Device, TensorCreationOptions};
use burn_eprop::Cell;
use burn_eprop::cell::InputNormalization;
use burn_eprop::estimator::{evaluate, mean_firing_rate};
use burn_eprop::interchange::save;
use eprop_tests::case::{Build, Case, Problem};
use eprop_tests::cells;
use eprop_tests::findings::values;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Largest difference of an output.
const TOLERANCE: f64 = 1e-9;

/// The program that the book shows.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../book/python/forward.py");

fn main() {
    let trials = vec![
        trial("LIF", cells::lif, Case { refractory_steps: 3, ..case(1) }),
        trial(
            "LIF with a time constant each",
            cells::lif_per_neuron,
            Case { normalized_readout: true, ..case(2) },
        ),
        trial("ALIF", cells::alif, Case { refractory_steps: 1, bias: false, ..case(3) }),
        trial("ALIF with constants each", cells::alif_per_neuron, normalized(case(4))),
        trial("LSTM", cells::lstm, Case { tau_out_ms: None, ..case(5) }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn case(seed: u64) -> Case {
    Case { neurons: vec![6, 5], batch: 1, steps: 40, ..Case::new(seed) }
}

fn normalized(case: Case) -> Case {
    Case { input_normalization: InputNormalization::OneMinusDecay, ..case }
}

fn trial<C: Cell + 'static>(name: &str, build: Build<C>, case: Case) -> Trial {
    Trial::ignorable_test(format!("python: {name}"), move || {
        if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
            return Ok(Completion::ignored_with("there is no python3"));
        }
        runs_alike(build, &case)?;
        Ok(Completion::Completed)
    })
}

fn runs_alike<C: Cell>(build: Build<C>, case: &Case) -> Result<(), Failed> {
    // float64, as in Python: by a rounding, a spike would come sooner or later.
    let options: TensorCreationOptions = (&Device::flex(), DType::F64).into();
    let problem = Problem::new(case, build, &options);
    let Problem { network, batch, objective } = &problem;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("network.safetensors");
    save(network, &path)?;
    let expected = values(&network.forward(batch.inputs().clone()));
    let found = python(&path, &values(batch.inputs()), network.inputs())?;
    assert_eq!(found.len(), expected.len(), "outputs of all steps");
    let differences = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
    let largest = differences.fold(0.0, f64::max);
    assert!(largest < TOLERANCE, "{largest:e}");
    // Neurons that are silent, or without recurrence, could not differ.
    let rates = evaluate(network, batch, objective).firing_rates;
    assert!(
        rates.iter().all(|rates| mean_firing_rate(std::slice::from_ref(rates)).abs() > 0.01),
        "{rates:?}"
    );
    let alone = problem.clone().without_recurrence().network.forward(batch.inputs().clone());
    assert_ne!(values(&alone), expected);
    Ok(())
}

/// What the program says of the inputs of all steps.
fn python(network: &Path, inputs: &[f64], width: usize) -> Result<Vec<f64>, Failed> {
    let mut program = Command::new("python3")
        .arg(PROGRAM)
        .arg(network)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let steps: Vec<&[f64]> = inputs.chunks(width).collect();
    let input = serde_json::to_vec(&steps)?;
    // Dropped at once, which ends the input.
    program.stdin.take().expect("piped").write_all(&input)?;
    let output = program.wait_with_output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let outputs: Vec<Vec<f64>> = serde_json::from_slice(&output.stdout)?;
    Ok(outputs.concat())
}
