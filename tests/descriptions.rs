//! What files of weights say besides weights: the kinds of cells and all constants, and who refuses which file.

use std::collections::HashMap;
use std::fs;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use burn_eprop::bidirectional::Bidirectional;
use burn_eprop::cell::{
    Alif, AlifConfig, CellState, Constants, InputNormalization, Lif, LifConfig, LstmConfig,
};
use burn_eprop::constant::Constant;
use burn_eprop::error::Disagreement;
use burn_eprop::interchange::{InterchangeError, Misfit, WeightMap, from_bytes, load, save};
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::surrogate::{PseudoDerivative, SurrogateShape};
use burn_eprop::{Cell, Network, NetworkConfig, RecurrentModel};
use eprop_tests::findings::values;
use eprop_tests::warnings;
use safetensors::{SafeTensors, serialize};
use serde_json::{Value, json};

fn options() -> TensorCreationOptions {
    (&Device::flex(), DType::F64).into()
}

fn network<C: Cell>(cell: C) -> Network<C> {
    NetworkConfig::new(2, 1).init(vec![cell], options())
}

fn lif(config: LifConfig) -> Network<Lif> {
    network(config.init(options()))
}

fn alif(config: AlifConfig) -> Network<Alif> {
    network(config.init(options()))
}

fn file<M: RecurrentModel>(model: &M) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    save(model, &path).expect("saved");
    fs::read(path).expect("there")
}

/// What the metadata of a file say.
fn description(bytes: &[u8]) -> Option<String> {
    let (_, header) = SafeTensors::read_metadata(bytes).expect("whole");
    header.metadata().as_ref()?.get("burn_eprop").cloned()
}

/// The same tensors with other metadata.
fn saying(bytes: &[u8], description: Option<&str>) -> Vec<u8> {
    let metadata = description.map(|text| HashMap::from([("burn_eprop".to_owned(), text.to_owned())]));
    serialize(SafeTensors::deserialize(bytes).expect("whole").iter(), metadata).expect("written")
}

fn disagreement<M: RecurrentModel>(model: &M, bytes: Vec<u8>) -> (String, String, String) {
    match from_bytes(model, bytes).map(|_| ()).expect_err("refused") {
        Misfit::Configuration(Disagreement { field, found, expected }) => (field, found, expected),
        other => panic!("{other}"),
    }
}

/// Whether a network refuses the file of another for a field, and the other way round.
#[track_caller]
fn differ<C: Cell>(one: &Network<C>, other: &Network<C>, field: &str, [of_one, of_other]: [&str; 2]) {
    let owned = |found: &str, expected: &str| (field.to_owned(), found.to_owned(), expected.to_owned());
    assert_eq!(disagreement(other, file(one)), owned(of_one, of_other));
    assert_eq!(disagreement(one, file(other)), owned(of_other, of_one));
}

#[test]
fn another_constant_of_spiking_neurons_is_refused_by_name() {
    let constant = |name: &str| format!("layers.0.constants.{name}");
    let check = |name: &str, config: LifConfig, values| {
        differ(&lif(LifConfig::new(3)), &lif(config), &constant(name), values);
    };
    let lif = || LifConfig::new(3);
    check("dt_ms", lif().with_dt_ms(0.5), ["1.0", "0.5"]);
    check("tau_membrane_ms", lif().with_tau_membrane_ms(30.0.into()), ["20.0", "30.0"]);
    check("threshold", lif().with_threshold(0.7), ["0.6", "0.7"]);
    check("refractory_steps", lif().with_refractory_steps(5), ["0", "5"]);
    let normalized = lif().with_input_normalization(InputNormalization::OneMinusDecay);
    check("input_normalization", normalized, ["\"unit\"", "\"one-minus-decay\""]);
    let psi = PseudoDerivative::default;
    let higher = lif().with_pseudo_derivative(PseudoDerivative { height: 1.0, ..psi() });
    check("pseudo_derivative.height", higher, ["0.3", "1.0"]);
    let shape = SurrogateShape::FastSigmoid { slope: 2.0 };
    let smooth = lif().with_pseudo_derivative(PseudoDerivative { shape, ..psi() });
    let other = "{\"fast-sigmoid\":{\"slope\":2.0}}";
    check("pseudo_derivative.shape", smooth, ["\"piecewise-linear\"", other]);
    let masked = lif().with_pseudo_derivative(PseudoDerivative { zero_in_refractoriness: false, ..psi() });
    check("pseudo_derivative.zero_in_refractoriness", masked, ["true", "false"]);

    let check = |name: &str, config: AlifConfig, values| {
        differ(&alif(AlifConfig::new(3)), &alif(config), &constant(name), values);
    };
    let alif = || AlifConfig::new(3);
    check("tau_membrane_ms", alif().with_tau_membrane_ms(30.0.into()), ["20.0", "30.0"]);
    check("tau_adaptation_ms", alif().with_tau_adaptation_ms(200.0.into()), ["2000.0", "200.0"]);
    check("adaptation_strength", alif().with_adaptation_strength(0.5.into()), ["0.0174242", "0.5"]);
    check("adaptation_strength", AlifConfig::mixed(3, 1, 0.5), ["0.0174242", "\"per neuron\""]);
}

#[test]
fn another_readout_is_refused_by_name() {
    let with = |readout: LeakyReadoutConfig| {
        let config = NetworkConfig::new(2, 1).with_readout(Some(readout));
        config.init(vec![LstmConfig::new(3).init()], options())
    };
    let readout = LeakyReadoutConfig::new;
    let check = |name: &str, other, values| differ(&with(readout()), &with(other), name, values);
    check("readout.tau_ms", readout().with_tau_ms(Some(5.0)), ["20.0", "5.0"]);
    check("readout.tau_ms", readout().with_tau_ms(None), ["20.0", "null"]);
    check("readout.dt_ms", readout().with_dt_ms(2.0), ["1.0", "2.0"]);
    check("readout.normalized", readout().with_normalized(true), ["false", "true"]);
    // Initial values are no constants.
    let forgetful = LstmConfig::new(3).with_forget_bias(0.0).init();
    assert!(from_bytes(&network(forgetful), file(&network(LstmConfig::new(3).init()))).is_ok());
}

/// LIF and ALIF neurons that share their constants have the same tensors: only the metadata tell them apart.
#[test]
fn other_cells_layers_and_directions_are_refused() {
    let [one, other] = [file(&lif(LifConfig::new(3))), file(&alif(AlifConfig::new(3)))];
    let kind = |found: &str, expected: &str| ("layers.0.cell".into(), found.into(), expected.into());
    assert_eq!(disagreement(&alif(AlifConfig::new(3)), one.clone()), kind("\"Lif\"", "\"Alif\""));
    assert_eq!(disagreement(&lif(LifConfig::new(3)), other), kind("\"Alif\"", "\"Lif\""));

    let cell = LifConfig::new(3).init(options());
    let two_layers = NetworkConfig::new(2, 1).init(vec![cell; 2], options());
    let (field, found, _) = disagreement(&two_layers, one.clone());
    assert_eq!((field.as_str(), found.as_str()), ("layers.1", "missing"));

    let both = |config| Bidirectional::new(lif(LifConfig::new(3)), lif(config));
    assert_eq!(disagreement(&both(LifConfig::new(3)), one), ("networks".into(), "1".into(), "2".into()));
    let slow = file(&both(LifConfig::new(3).with_tau_membrane_ms(50.0.into())));
    let field = "backward.layers.0.constants.tau_membrane_ms".into();
    assert_eq!(disagreement(&both(LifConfig::new(3)), slow), (field, "50.0".into(), "20.0".into()));
}

#[test]
fn the_error_says_which_file_and_which_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("slow.safetensors");
    save(&lif(LifConfig::new(3).with_tau_membrane_ms(50.0.into())), &path).expect("saved");
    let error = load(&lif(LifConfig::new(3)), &path).expect_err("refused");
    assert!(matches!(error, InterchangeError::Misfit { .. }));
    assert!(
        error.to_string().ends_with(
            "slow.safetensors: `layers.0.constants.tau_membrane_ms` is 50.0 in the file, but 20.0 in the network"
        ),
        "{error}"
    );
}

/// Where they are meant to differ, the tensors are taken alone.
#[test]
fn by_name_the_tensors_are_taken_whatever_is_said() {
    let [slow, fast] = [50.0, 20.0].map(|tau_ms| {
        let cell = LifConfig::new(3).with_tau_membrane_ms(Constant::Shared(tau_ms)).init(options());
        NetworkConfig::new(2, 1).with_seed(tau_ms as u64).init(vec![cell], options())
    });
    let loaded = WeightMap::by_name(&fast).from_bytes(&fast, file(&slow)).expect("loaded");
    assert_eq!(values(&loaded.layers[0].w_in.val()), values(&slow.layers[0].w_in.val()));
    assert_ne!(values(&loaded.layers[0].w_in.val()), values(&fast.layers[0].w_in.val()));
}

/// They are tensors, which the file brings along.
#[test]
fn constants_of_each_neuron_come_from_the_file() {
    let each = |tau_ms: [f64; 3]| lif(LifConfig::new(3).with_tau_membrane_ms(tau_ms.to_vec().into()));
    let [slow, fast] = [each([50.0, 60.0, 70.0]), each([10.0, 20.0, 30.0])];
    let loaded = from_bytes(&fast, file(&slow)).expect("loaded");
    let decays = |network: &Network<Lif>| values(&network.layers[0].cell.decay.vector(3, &options()));
    assert_eq!(decays(&loaded), decays(&slow));
    assert_ne!(decays(&loaded), decays(&fast));
}

#[test]
fn the_description_is_that_of_the_book() {
    let shown = include_str!("../book/python/description.json");
    let config = AlifConfig::new(3)
        .with_tau_adaptation_ms(200.0.into())
        .with_adaptation_strength(vec![0.1, 0.2, 0.3].into())
        .with_refractory_steps(3);
    let network = alif(config);
    let written = description(&file(&network)).expect("there");
    let [shown, written] = [shown, &written].map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
    assert_eq!(shown, written);
    // Written by another program, numbers have other digits.
    let text = shown.to_string().replace("20.0,", "20,").replace("0.3,", "0.30000000000000004,");
    assert_ne!(text, shown.to_string());
    assert!(from_bytes(&network, saying(&file(&network), Some(&text))).is_ok());
}

#[test]
fn files_that_say_less_are_loaded_with_a_warning() {
    warnings::listen();
    let folder = tempfile::tempdir().expect("a folder");
    let network = lif(LifConfig::new(3));
    let read = |name: &str, said: Option<&str>| {
        let path = folder.path().join(name);
        fs::write(&path, saying(&file(&network), said)).expect("written");
        let loaded = load(&network, &path);
        (loaded.map(|_| ()).map_err(|error| error.to_string()), warnings::about(name))
    };
    let (loaded, said) = read("first.safetensors", Some("version 1, Lif cells"));
    assert!(loaded.is_ok() && said.len() == 1 && said[0].contains("version 1 does not say constants"));
    let (loaded, said) = read("by-hand.safetensors", None);
    assert!(loaded.is_ok() && said.len() == 1 && said[0].contains("no metadata say cells and constants"));
    let own = description(&file(&network)).expect("there");
    let (loaded, said) = read("whole.safetensors", Some(&own));
    assert!(loaded.is_ok() && said.is_empty(), "{said:?}");

    let refused = |name: &str, said: &str| read(name, Some(said)).0.expect_err("refused");
    let other = refused("other.safetensors", "version 1, Alif cells");
    assert!(other.ends_with("it holds `version 1, Alif cells`, where `version 1, Lif cells` is needed"));
    let later = refused("later.safetensors", &own.replace("\"version\":2", "\"version\":3"));
    assert!(later.ends_with("it holds `version 3`, where `version 2` is needed"), "{later}");
    for broken in ["", "{", "[]", "{\"version\":2}", "{\"version\":2,\"networks\":[7]}"] {
        assert!(read("broken.safetensors", Some(broken)).0.is_err(), "{broken}");
    }
}

/// A cell of a user's own: a leaky integrator, which says its decay or does not.
#[derive(Module, Debug)]
struct Integrator {
    #[module(skip)]
    decay: f64,
    #[module(skip)]
    says: bool,
}

impl Cell for Integrator {
    const CURRENTS: usize = 1;
    const HIDDEN: usize = 1;
    const AUTAPSES: bool = true;

    fn neurons(&self) -> usize {
        3
    }

    fn constants(&self) -> Option<Constants> {
        self.says.then(|| Constants::new().with("decay", self.decay))
    }

    fn step(&self, state: &CellState, currents: &[Tensor<2>]) -> CellState {
        let h = state.hidden[0].clone().mul_scalar(self.decay) + currents[0].clone();
        CellState { output: h.clone(), hidden: vec![h], carried: vec![] }
    }
}

#[test]
fn a_cell_of_ones_own_says_its_constants_or_its_name_alone() {
    warnings::listen();
    let of = |decay, says| network(Integrator { decay, says });
    differ(&of(0.9, true), &of(0.8, true), "layers.0.constants.decay", ["0.9", "0.8"]);
    let layer = |network: &Network<Integrator>| {
        let text = description(&file(network)).expect("there");
        serde_json::from_str::<Value>(&text).expect("JSON")["networks"][0]["layers"][0].clone()
    };
    assert_eq!(layer(&of(0.9, true)), json!({ "cell": "Integrator", "constants": { "decay": 0.9 } }));
    assert_eq!(layer(&of(0.9, false)), json!({ "cell": "Integrator", "constants": null }));
    // Where one of them does not say them, nothing can be compared.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("unsaid.safetensors");
    save(&of(0.9, false), &path).expect("saved");
    assert!(load(&of(0.8, false), &path).is_ok() && warnings::about("unsaid.safetensors").is_empty());
    assert!(load(&of(0.8, true), &path).is_ok());
    assert!(warnings::about("unsaid.safetensors")[0].contains("a cell's constants are not said"));
    assert!(from_bytes(&of(0.8, false), file(&of(0.9, true))).is_ok());
}

/// What nothing reads is 0 in the file, and what is read is not.
#[test]
fn weights_of_neurons_to_themselves_are_written_as_0_where_the_cell_has_none() {
    fn diagonal<C: Cell>(cell: C) -> Vec<f64> {
        let mut network = network(cell);
        let layer = &mut network.layers[0];
        layer.w_rec = layer.w_rec.clone().map(|weights| weights.full_like(-0.5));
        let loaded = from_bytes(&network, file(&network)).expect("loaded");
        let inputs = Tensor::<3>::ones([1, 20, 2], options());
        assert_eq!(values(&network.forward(inputs.clone())), values(&loaded.forward(inputs)));
        let (weights, targets) = (values(&loaded.layers[0].w_rec.val()), loaded.layers[0].w_rec.dims()[1]);
        assert!((0..3).all(|neuron| weights[targets * neuron + (neuron + 1) % 3] == -0.5));
        (0..3).map(|neuron| weights[targets * neuron + neuron]).collect()
    }
    let zeros = [diagonal(LifConfig::new(3).init(options())), diagonal(AlifConfig::new(3).init(options()))];
    // Not −0, which other programs would print.
    assert!(zeros.concat().iter().all(|weight| weight.to_bits() == 0), "{zeros:?}");
    assert_eq!(diagonal(LstmConfig::new(3).init()), [-0.5; 3]);
}

/// As all files of the process.
#[cfg(unix)]
#[test]
fn the_mode_of_files_follows_from_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let [plain, saved] = ["plain", "saved.safetensors"].map(|name| folder.path().join(name));
    fs::write(&plain, "").expect("written");
    save(&lif(LifConfig::new(3)), &saved).expect("saved");
    let mode = |path| fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode(saved), mode(plain));
}
