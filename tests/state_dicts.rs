//! State dicts of other programs, through an explicit map: the same answers, and maps that do not fit.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorCreationOptions, TensorData};
use burn_eprop::bidirectional::Bidirectional;
use burn_eprop::cell::{Lif, LifConfig, Lstm, LstmConfig};
use burn_eprop::init::Initializer;
use burn_eprop::interchange::{InterchangeError, Misfit, Source, WeightMap, from_bytes};
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::{Network, NetworkConfig};
use eprop_tests::case::float64;
use eprop_tests::cpus::cpus;
use eprop_tests::findings::values;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use serde_json::Value;

const INPUTS: usize = 4;
const OUTPUTS: usize = 2;
/// Units of each of the LSTM's layers.
const UNITS: usize = 5;
const NEURONS: usize = 8;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join("pytorch").join(name)
}

/// The inputs [batch, time, feature] and the other program's answers.
fn example(name: &str, options: &TensorCreationOptions) -> (Tensor<3>, Vec<f64>, Value) {
    let text = std::fs::read_to_string(fixture(name)).expect("a part of the project");
    let description: Value = serde_json::from_str(&text).expect("JSON");
    let numbers = |name: &str| -> Vec<f64> {
        let list = description[name].as_array().expect("a list").iter();
        list.map(|number| number.as_f64().expect("a number")).collect()
    };
    let shape: Vec<usize> = numbers("shape").iter().map(|size| *size as usize).collect();
    let inputs = Tensor::from_data(TensorData::new(numbers("inputs"), shape), options.clone());
    (inputs, numbers("outputs"), description)
}

/// Networks whose readout is a linear layer.
fn config() -> NetworkConfig {
    let readout = LeakyReadoutConfig::new().with_tau_ms(None);
    NetworkConfig::new(INPUTS, OUTPUTS).with_readout(Some(readout))
}

fn lstm(options: &TensorCreationOptions) -> Network<Lstm> {
    config().init(vec![LstmConfig::new(UNITS).init(); 2], options.clone())
}

fn lif(decay: f64, options: &TensorCreationOptions) -> Network<Lif> {
    let tau_ms = -1.0 / decay.ln();
    let cell =
        LifConfig::new(NEURONS).with_tau_membrane_ms(tau_ms.into()).with_threshold(1.0).with_bias(true);
    config().init(vec![cell.init(options.clone())], options.clone())
}

fn lstm_map() -> WeightMap {
    let mut map = WeightMap::new();
    for layer in 0..2 {
        map = map
            .with(
                format!("layers.{layer}.w_in"),
                Source::new(format!("lstm.weight_ih_l{layer}")).transposed(),
            )
            .with(
                format!("layers.{layer}.w_rec"),
                Source::new(format!("lstm.weight_hh_l{layer}")).transposed(),
            )
            .with(
                format!("layers.{layer}.bias"),
                Source::new(format!("lstm.bias_ih_l{layer}")).plus(format!("lstm.bias_hh_l{layer}")),
            );
    }
    map.with("readout.weight", Source::new("fc.weight").transposed().padded(UNITS))
        .with("readout.bias", Source::new("fc.bias"))
        .keep("feedback")
}

fn lif_map() -> WeightMap {
    WeightMap::new()
        .with("layers.0.w_in", Source::new("fc1.weight").transposed())
        .with("layers.0.w_rec", Source::new("lif1.recurrent.weight").transposed())
        .with("layers.0.bias", Source::new("fc1.bias").plus("lif1.recurrent.bias"))
        .with("readout.weight", Source::new("fc2.weight").transposed())
        .with("readout.bias", Source::new("fc2.bias"))
        .keep("feedback")
        .ignore("lif1.beta")
        .ignore("lif1.threshold")
        .ignore("lif1.graded_spikes_factor")
        .ignore("lif1.reset_mechanism_val")
}

fn largest_difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max)
}

#[test]
fn an_lstm_of_pytorch_gives_the_same_answers() {
    for options in cpus().iter().map(float64) {
        let (inputs, expected, _) = example("lstm.json", &options);
        let network = lstm(&options);
        let loaded = lstm_map().load(&network, fixture("lstm.safetensors")).expect("loaded");
        let difference = largest_difference(&values(&loaded.forward(inputs)), &expected);
        assert!(difference < 1e-9, "{difference:e}");
        assert_eq!(values(&loaded.feedback.val()), values(&network.feedback.val()), "kept");
    }
}

#[test]
fn spiking_neurons_of_snntorch_give_the_same_answers() {
    for options in cpus().iter().map(float64) {
        let (inputs, expected, description) = example("snntorch.json", &options);
        let decay = description["beta"].as_f64().expect("a number");
        let loaded = lif_map().load(&lif(decay, &options), fixture("snntorch.safetensors")).expect("loaded");
        let difference = largest_difference(&values(&loaded.forward(inputs.clone())), &expected);
        assert!(difference < 1e-9, "{difference:e}");

        // The recurrent weights matter: without them the answers are others.
        let mut without = loaded;
        without.layers[0].w_rec = without.layers[0].w_rec.clone().map(|weights| weights.zeros_like());
        assert!(largest_difference(&values(&without.forward(inputs)), &expected) > 0.1);
    }
}

#[test]
fn in_float32_they_give_nearly_the_same_answers() {
    let options = (&Device::flex(), DType::F32).into();
    let (inputs, expected, _) = example("lstm.json", &options);
    let loaded = lstm_map().load(&lstm(&options), fixture("lstm.safetensors")).expect("loaded");
    let difference = largest_difference(&values(&loaded.forward(inputs)), &expected);
    assert!(difference < 1e-5, "{difference:e}");
}

/// A file of float64 tensors.
fn file(tensors: &[(&str, &[usize], Vec<f64>)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let view =
        |shape: &[usize], bytes| TensorView::new(Dtype::F64, shape.to_vec(), bytes).expect("of this size");
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| (*name, view(shape, bytes)));
    serialize(views, None).expect("written")
}

/// As many values as a shape has, each its own.
fn counted(shape: &[usize]) -> Vec<f64> {
    (0..shape.iter().product()).map(|index: usize| index as f64).collect()
}

/// A map of a small network that keeps all but the given parameter.
fn only(parameter: &str, source: Source) -> WeightMap {
    let names =
        ["layers.0.w_in", "layers.0.w_rec", "layers.0.bias", "readout.weight", "readout.bias", "feedback"];
    names.iter().fold(WeightMap::new(), |map, name| map.keep(*name)).with(parameter, source)
}

fn small_lstm() -> Network<Lstm> {
    NetworkConfig::new(1, 1).init(vec![LstmConfig::new(2).init()], float64(&Device::flex()))
}

#[test]
fn gates_in_another_order_are_reordered() {
    let network = small_lstm();
    // i, o, f, g of two units each, for one input, as [post, pre].
    let stored = file(&[("kernel", &[8, 1], vec![1.0, 2.0, 70.0, 80.0, 30.0, 40.0, 5.0, 6.0])]);
    let source = Source::new("kernel").transposed().with_blocks(&[0, 2, 3, 1]);
    let loaded = only("layers.0.w_in", source).from_bytes(&network, stored).expect("loaded");
    let i_f_g_o = [1.0, 2.0, 30.0, 40.0, 5.0, 6.0, 70.0, 80.0];
    assert_eq!(values(&loaded.layers[0].w_in.val()), i_f_g_o);
    // Row by row.
    let rows = [10.0, 20.0].map(|row| i_f_g_o.map(|value| row + value)).concat();
    let order = [0, 1, 6, 7, 2, 3, 4, 5];
    let stored: Vec<f64> = (0..2).flat_map(|row| order.map(|column| rows[8 * row + column])).collect();
    let stored = file(&[("recurrent", &[2, 8], stored)]);
    let source = Source::new("recurrent").with_blocks(&[0, 2, 3, 1]);
    let loaded = only("layers.0.w_rec", source).from_bytes(&network, stored).expect("loaded");
    assert_eq!(values(&loaded.layers[0].w_rec.val()), rows);
}

#[test]
fn both_directions_are_mapped() {
    let pair = || Bidirectional::new(small_lstm(), small_lstm());
    let names =
        ["layers.0.w_in", "layers.0.w_rec", "layers.0.bias", "readout.weight", "readout.bias", "feedback"];
    let kept = ["forward", "backward"].iter().flat_map(|way| names.map(|name| format!("{way}.{name}")));
    let map = kept.fold(WeightMap::new(), WeightMap::keep);
    let map = map.with("backward.layers.0.w_in", Source::new("weight_ih_l0_reverse").transposed());
    let stored = file(&[("weight_ih_l0_reverse", &[8, 1], counted(&[8]))]);
    let loaded = map.from_bytes(&pair(), stored).expect("loaded");
    assert_eq!(values(&loaded.backward.layers[0].w_in.val()), counted(&[8]));
    assert_eq!(values(&loaded.forward.layers[0].w_in.val()), values(&pair().forward.layers[0].w_in.val()));
}

fn refused(map: &WeightMap, bytes: Vec<u8>) -> Misfit {
    map.from_bytes(&small_lstm(), bytes).expect_err("refused")
}

fn does_not_fit(parameter: &str, reason: &'static str) -> Misfit {
    Misfit::Map { parameter: parameter.into(), reason }
}

#[test]
fn maps_that_do_not_fit_the_network_are_refused() {
    let bias = file(&[("b", &[8], counted(&[8]))]);
    let left_out = WeightMap::new().keep("layers.0.w_in");
    assert_eq!(
        refused(&left_out, bias.clone()),
        does_not_fit("layers.0.w_rec", "it is neither mapped nor kept")
    );
    let too_many = only("layers.1.bias", Source::new("b"));
    assert_eq!(
        refused(&too_many, bias.clone()),
        does_not_fit("layers.1.bias", "the network has no such parameter")
    );
    let three = only("layers.0.bias", Source::new("b").with_blocks(&[2, 1, 0]));
    assert_eq!(
        refused(&three, bias.clone()),
        does_not_fit("layers.0.bias", "the blocks are not of one size")
    );
    let padded = only("readout.weight", Source::new("b").padded(3));
    let more = does_not_fit("readout.weight", "there are more rows of 0 than it has rows");
    assert_eq!(refused(&padded, bias.clone()), more);
    let vector = only("layers.0.bias", Source::new("b").padded(3));
    assert_eq!(
        refused(&vector, bias.clone()),
        does_not_fit("layers.0.bias", "a vector has no presynaptic rows")
    );
    let absent = only("layers.0.bias", Source::new("b")).ignore("dropout");
    assert_eq!(refused(&absent, bias), Misfit::Missing("dropout".into()));
}

#[test]
fn tensors_that_do_not_fit_the_map_are_named() {
    let map = only("layers.0.w_in", Source::new("w").transposed());
    let good: (&str, &[usize], Vec<f64>) = ("w", &[8, 1], counted(&[8]));
    assert!(map.from_bytes(&small_lstm(), file(std::slice::from_ref(&good))).is_ok());
    assert_eq!(refused(&map, file(&[])), Misfit::Missing("w".into()));
    let more = file(&[good.clone(), ("dropout", &[1], vec![0.5])]);
    assert_eq!(refused(&map, more.clone()), Misfit::Unexpected("dropout".into()));
    assert!(map.clone().ignore("dropout").from_bytes(&small_lstm(), more).is_ok());
    // As it should be in the file: [post, pre].
    let shape = |tensor: &str, found: &[usize], expected: &[usize], parameter: &str| Misfit::Shape {
        tensor: tensor.into(),
        found: found.to_vec(),
        expected: expected.to_vec(),
        parameter: parameter.into(),
    };
    let turned = file(&[("w", &[1, 8], counted(&[8]))]);
    assert_eq!(refused(&map, turned), shape("w", &[1, 8], &[8, 1], "layers.0.w_in"));
    let sum = only("layers.0.bias", Source::new("b").plus("c"));
    let unequal = file(&[("b", &[8], counted(&[8])), ("c", &[2], counted(&[2]))]);
    assert_eq!(refused(&sum, unequal), shape("c", &[2], &[8], "layers.0.bias"));
    let overflow = file(&[("b", &[8], vec![f64::MAX; 8]), ("c", &[8], vec![f64::MAX; 8])]);
    let message = refused(&sum, overflow).to_string();
    assert_eq!(message, "parameter `layers.0.bias` as F64 holds NaN or infinity");
    let not_a_number = file(&[("b", &[8], counted(&[8])), ("c", &[8], vec![f64::NAN; 8])]);
    assert_eq!(refused(&sum, not_a_number).to_string(), "tensor `c` holds NaN or infinity");
}

#[test]
fn neurons_of_spiking_cells_do_not_project_onto_themselves() {
    let options = float64(&Device::flex());
    let network = config()
        .with_recurrent_initializer(Initializer::Zero)
        .init(vec![LifConfig::new(2).init(options.clone())], options);
    let names = ["layers.0.w_in", "readout.weight", "readout.bias", "feedback"];
    let kept = names.iter().fold(WeightMap::new(), |map, name| map.keep(*name));
    let map = kept.clone().with("layers.0.w_rec", Source::new("v"));
    let load = |weights: [f64; 4]| map.from_bytes(&network, file(&[("v", &[2, 2], weights.to_vec())]));
    assert!(load([0.0, 1.0, 2.0, 0.0]).is_ok());
    for weights in [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]] {
        let autapse =
            does_not_fit("layers.0.w_rec", "a neuron would project onto itself, which the cell has not");
        assert_eq!(load(weights).expect_err("refused"), autapse);
    }
}

#[test]
#[should_panic(expected = "blocks [0, 2, 2, 1] are not each of 4 once")]
fn blocks_stand_once() {
    let _ = Source::new("w").with_blocks(&[0, 2, 2, 1]);
}

#[test]
fn a_state_dict_is_no_file_of_ours() {
    let options = float64(&Device::flex());
    let path = fixture("lstm.safetensors");
    let bytes = std::fs::read(&path).expect("a part of the project");
    assert_eq!(
        from_bytes(&lstm(&options), bytes).expect_err("refused"),
        Misfit::Missing("layers.0.w_in".into())
    );
    let error = lif_map().load(&lif(0.9, &options), &path).expect_err("refused");
    assert!(matches!(error, InterchangeError::Misfit { path: named, .. } if named == path));
}
