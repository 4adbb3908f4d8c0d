//! Fixtures of gradients: tensors and their description.

use std::path::Path;

use burn::tensor::{DType, Device};
use eprop_cli::gradcheck::fixture::Fixture;
use eprop_cli::gradcheck::{Settings, check};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use crate::format::{Format, Read, reader, replaced};

const DESCRIPTION: &str = r#"{"model": "alif", "config": {"n_in": 2, "n_rec": 3, "n_out": 1, "T": 4, "B": 1, "kappa": 0.5, "g_out": 1,
"loss": "mse_sum", "c_reg": 0.5, "f_target": 0.1, "alpha": 0.7, "rho": 0.9, "v_th": 0.5, "gamma": 0.3, "n_ref": 2, "g_in": 1.0},
"training": {"learning_rate": 0.01, "iterations": 2}, "losses_nest_f64": [1.0, 2.0], "spikes": [1, 2]}"#;

/// The safetensors file, of both kinds of cells.
pub(crate) fn tensors() -> Format {
    let alif = fixture([2, 3, 1]);
    let claims = [
        [&10_000_000_000_u64.to_le_bytes()[..], &alif[8..]].concat(),
        replaced(&alif, b"[4,1,2]", b"[4,1,312500000]"),
        header(r#"{"in_x":{"dtype":"F64","shape":[1250000000],"data_offsets":[0,10000000000]}}"#),
        header(r#"{"in_x":{"dtype":"F64","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#),
        header(&"[".repeat(50_000)),
    ];
    Format {
        name: "fixture",
        file: "a.safetensors",
        sound: vec![alif],
        refused: claims.to_vec(),
        variants: 1500,
        read: read("a.safetensors", "a.json", DESCRIPTION.into()),
    }
}

/// The JSON file.
pub(crate) fn description() -> Format {
    let number = |name: &str, number: &str| {
        let (before, after) = DESCRIPTION.split_once(&format!("\"{name}\": ")).expect("in the description");
        let end = after.find([',', '}', ']']).expect("something behind it");
        format!("{before}\"{name}\": {number}{}", &after[end..]).into_bytes()
    };
    let names = ["n_in", "n_rec", "n_out", "T", "B", "iterations"];
    let claims = names.map(|name| number(name, "10000000000"));
    let deep = "[".repeat(50_000).into_bytes();
    let lstm = replaced(DESCRIPTION.as_bytes(), b"\"alif\"", b"\"lstm\"");
    Format {
        name: "description of a fixture",
        file: "a.",
        sound: vec![DESCRIPTION.into()],
        refused: claims.into_iter().chain([deep, lstm]).collect(),
        variants: 1500,
        read: read("a.json", "a.safetensors", fixture([2, 3, 1])),
    }
}

/// Reads a fixture of which one file stays as it is.
fn read(file: &'static str, other: &'static str, content: Vec<u8>) -> Read {
    let fill = move |folder: &Path| std::fs::write(folder.join(other), content).expect("written");
    reader(file, fill, |path| {
        let settings = Settings { device: Device::flex(), dtype: DType::F64, chunk: 3 };
        let fixture = Fixture::read(&path.with_extension("safetensors"));
        let report = fixture.and_then(|fixture| check(&fixture, &settings));
        report.map(drop).map_err(|error| format!("{error:#}"))
    })
}

fn header(json: &str) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &[0; 16]].concat()
}

/// Of so many inputs, neurons and outputs, and four steps of one sequence.
fn fixture([inputs, neurons, outputs]: [usize; 3]) -> Vec<u8> {
    let tensors: [(&str, Vec<usize>); 11] = [
        ("param_W_in", vec![inputs, neurons]),
        ("param_W_rec", vec![neurons, neurons]),
        ("param_W_out", vec![neurons, outputs]),
        ("param_b_out", vec![outputs]),
        ("in_B_fb", vec![neurons, outputs]),
        ("in_beta", vec![neurons]),
        ("in_x", vec![4, 1, inputs]),
        ("in_target", vec![4, 1, outputs]),
        ("in_loss_mask", vec![4]),
        ("grad_eprop_sym_W_in", vec![inputs, neurons]),
        ("out_z", vec![4, 1, neurons]),
    ];
    let tensors = tensors.map(|(name, shape)| {
        let values = (1..=shape.iter().product()).map(|i: usize| i as f64 * 0.1);
        (name, shape, values.flat_map(f64::to_le_bytes).collect::<Vec<u8>>())
    });
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (*name, TensorView::new(Dtype::F64, shape.clone(), bytes).expect("as many bytes as it takes"))
    });
    serialize(views, None).expect("serialized")
}
