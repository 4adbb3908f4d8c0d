//! Weights in safetensors files: round trips, names, and whatever can be wrong with a file.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use burn_eprop::bidirectional::Bidirectional;
use burn_eprop::cell::{AlifConfig, InputNormalization, Lif, Lstm};
use burn_eprop::constant::Constant;
use burn_eprop::interchange::{InterchangeError, Misfit, from_bytes, load, save};
use burn_eprop::synthetic_gradient::SyntheticGradientConfig;
use burn_eprop::{Cell, Network, NetworkConfig, RecurrentModel};
use eprop_tests::case::{Build, Case, Problem};
use eprop_tests::cpus::cpus;
use eprop_tests::findings::values;
use eprop_tests::synthetic::with_module;
use eprop_tests::{cells, for_every_cell};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn problem<C: Cell>(build: Build<C>, seed: u64, options: &TensorCreationOptions) -> Problem<C> {
    let mut problem = Problem::new(&Case { neurons: vec![6, 5], ..Case::new(seed) }, build, options);
    let network = with_module(&problem.network);
    // Its own record makes leaves of what was calculated.
    problem.network = network.clone().load_record(network.into_record());
    problem
}

fn on_flex(dtype: DType) -> TensorCreationOptions {
    (&Device::flex(), dtype).into()
}

/// Name, shape and bytes of every parameter.
fn content<M: Module>(model: &M) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let parameters = model.collect(None, None, false).into_iter();
    parameters.map(|it| (it.name.clone(), it.shape.to_vec(), it.to_bytes().expect("read").to_vec())).collect()
}

/// What a file has of a model: as [`content`], without autapses where the cell has none.
fn saved<M: RecurrentModel>(model: &M) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let mut content = content(model);
    let recurrent = content.iter_mut().filter(|(name, ..)| !M::Cell::AUTAPSES && name.ends_with("w_rec"));
    for (_, shape, bytes) in recurrent {
        let (neurons, size) = (shape[0], bytes.len() / (shape[0] * shape[1]));
        for (index, weight) in bytes.chunks_mut(size).enumerate() {
            let (pre, post) = (index / shape[1], index % shape[1]);
            if pre == post % neurons {
                assert_ne!(weight, vec![0; size], "a weight that nothing reads");
                weight.fill(0);
            }
        }
    }
    content
}

/// What of every parameter is no value: its id, its type, whether it is in autodiff and requires a gradient.
#[derive(Debug, Default, PartialEq)]
struct Traits(Vec<(ParamId, DType, bool, bool)>);

impl ModuleVisitor for Traits {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        self.0.push((param.id, value.dtype(), value.is_autodiff(), value.is_require_grad()));
    }
}

fn traits<M: Module>(model: &M) -> Traits {
    let mut traits = Traits::default();
    model.visit(&mut traits);
    traits
}

/// A model's file.
fn file<M: RecurrentModel>(model: &M) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    save(model, folder.path().join("model.safetensors")).expect("saved");
    std::fs::read(folder.path().join("model.safetensors")).expect("there")
}

/// The tensors of a file.
type Parts = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A file with its tensors changed, and other metadata.
fn edited(bytes: &[u8], metadata: Option<HashMap<String, String>>, edit: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let parts = SafeTensors::deserialize(bytes).expect("whole").tensors().into_iter();
    let mut parts: Parts =
        parts.map(|(name, it)| (name, (it.dtype(), it.shape().to_vec(), it.data().to_vec()))).collect();
    edit(&mut parts);
    let views = parts.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).expect("of this size"))
    });
    safetensors::serialize(views, metadata).expect("written")
}

fn comes_back<M: RecurrentModel>(source: &M, target: &M) -> M {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, "an earlier file").expect("written");
    save(source, &path).expect("saved");
    let before = (content(target), traits(target));
    let loaded = load(target, &path).expect("loaded");
    assert_eq!(content(&loaded), saved(source));
    assert_eq!(traits(&loaded), before.1);
    assert_eq!((content(target), traits(target)), before, "the model that was given");
    assert_ne!(before.0, content(source), "nothing to load");
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1, "something beside the file");
    loaded
}

fn round_trip<C: Cell>(build: Build<C>) {
    for device in cpus().into_iter().chain([Device::flex().autodiff()]) {
        for dtype in [DType::F32, DType::F64] {
            let options = (&device, dtype).into();
            let [source, mut target] = [1, 2].map(|seed| problem(build, seed, &options));
            target.network.readout.weight = target.network.readout.weight.set_require_grad(false);
            let loaded = comes_back(&source.network, &target.network);
            let outputs = [&source.network, &loaded]
                .map(|network| values(&network.forward(source.batch.inputs().clone())));
            assert_eq!(outputs[0], outputs[1]);

            let pair = |seed| {
                let [forward, backward] =
                    [seed, seed + 10].map(|seed| problem(build, seed, &options).network);
                Bidirectional::new(forward, backward)
            };
            comes_back(&pair(1), &pair(2));
        }
    }
}
for_every_cell!(round_trip);

#[test]
fn a_plain_snapshot_is_trained_on_after_loading() {
    let options = (&Device::flex().autodiff(), DType::F32).into();
    let [source, target] = [1, 2].map(|seed| problem(cells::alif, seed, &options).network);
    let loaded = from_bytes(&target.valid(), file(&source)).expect("loaded");
    assert_eq!(traits(&loaded), traits(&target.valid()));
    assert_eq!(traits(&loaded.train()), traits(&target));
}

#[test]
fn equal_networks_make_equal_files() {
    let network = problem(cells::lif, 1, &on_flex(DType::F32)).network;
    assert_eq!(file(&network), file(&network));
}

/// The names and shapes that the documentation promises.
#[test]
fn names_and_shapes() {
    let shapes = |model: &dyn Fn() -> Vec<u8>| -> Vec<(String, Vec<usize>)> {
        let bytes = model();
        let tensors = SafeTensors::deserialize(&bytes).expect("whole");
        let mut shapes: Vec<_> =
            tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.shape().to_vec())).collect();
        shapes.sort();
        shapes
    };
    let sorted = |expected: &[(&str, &[usize])]| {
        let mut expected: Vec<_> =
            expected.iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
        expected.sort();
        expected
    };
    let device = Device::flex();
    let each = |value: f64| Constant::PerNeuron(vec![value; 6]);
    let alif = AlifConfig::new(6)
        .with_tau_membrane_ms(each(20.0))
        .with_tau_adaptation_ms(each(200.0))
        .with_adaptation_strength(each(0.1))
        .with_input_normalization(InputNormalization::OneMinusDecay)
        .with_bias(true)
        .init(&device);
    let synthetic = SyntheticGradientConfig::new().with_hidden(vec![7]);
    let alif = NetworkConfig::new(4, 3).init(vec![alif], &device).with_synthetic_gradient(&synthetic);
    let width = 2 * 6 + 6 + 3;
    let expected = [
        ("layers.0.w_in", &[4, 6][..]),
        ("layers.0.w_rec", &[6, 6]),
        ("layers.0.bias", &[6]),
        ("layers.0.cell.decay.values", &[6]),
        ("layers.0.cell.input_factor.values", &[6]),
        ("layers.0.cell.adaptation_decay.values", &[6]),
        ("layers.0.cell.adaptation_strength.values", &[6]),
        ("readout.weight", &[6, 3]),
        ("readout.bias", &[3]),
        ("feedback", &[6, 3]),
        ("synthetic_gradient.hidden.0.weight", &[width, 7]),
        ("synthetic_gradient.hidden.0.bias", &[7]),
        ("synthetic_gradient.output.weight", &[7, width]),
        ("synthetic_gradient.output.bias", &[width]),
    ];
    assert_eq!(shapes(&|| file(&alif)), sorted(&expected));

    let lstm = |seed| -> Network<Lstm> {
        let case = Case { neurons: vec![6, 5], ..Case::new(seed) };
        Problem::new(&case, cells::lstm, &on_flex(DType::F32)).network
    };
    let one = [
        ("layers.0.w_in", &[4, 24][..]),
        ("layers.0.w_rec", &[6, 24]),
        ("layers.0.bias", &[24]),
        ("layers.1.w_in", &[6, 20]),
        ("layers.1.w_rec", &[5, 20]),
        ("layers.1.bias", &[20]),
        ("readout.weight", &[11, 3]),
        ("readout.bias", &[3]),
        ("feedback", &[11, 3]),
    ];
    let mut both = Vec::new();
    for direction in ["forward", "backward"] {
        both.extend(one.map(|(name, shape)| (format!("{direction}.{name}"), shape)));
    }
    let both: Vec<_> = both.iter().map(|(name, shape)| (&name[..], *shape)).collect();
    assert_eq!(shapes(&|| file(&Bidirectional::new(lstm(1), lstm(2)))), sorted(&both));
}

#[test]
fn other_types_are_rounded_to_the_networks() {
    let [single, double] =
        [DType::F32, DType::F64].map(|dtype| problem(cells::lstm, 1, &on_flex(dtype)).network);
    let wide = from_bytes(&double, file(&single)).expect("loaded");
    assert_eq!(values(&wide.feedback.val()), values(&single.feedback.val()));
    let narrow = from_bytes(&single, file(&double)).expect("loaded");
    assert_eq!(narrow.feedback.val().dtype(), DType::F32);
    let rounded: Vec<f64> =
        values(&double.feedback.val()).iter().map(|value| f64::from(*value as f32)).collect();
    assert_eq!(values(&narrow.feedback.val()), rounded);

    // 1.5 in both formats of 16 bits.
    for (dtype, bits) in [(Dtype::F16, 0x3e00_u16), (Dtype::BF16, 0x3fc0)] {
        let half = edited(&file(&double), None, |parts| {
            let (_, shape, _) = parts["feedback"].clone();
            let data = bits.to_le_bytes().repeat(shape.iter().product());
            parts.insert("feedback".into(), (dtype, shape, data));
        });
        let loaded = from_bytes(&single, half).expect("loaded");
        assert!(values(&loaded.feedback.val()).iter().all(|value| *value == 1.5), "{dtype:?}");
    }
}

fn refused<C: Cell>(network: &Network<C>, bytes: Vec<u8>) -> Misfit {
    from_bytes(network, bytes).expect_err("refused")
}

#[test]
fn what_does_not_fit_is_named() {
    let network: Network<Lif> = problem(cells::lif, 1, &on_flex(DType::F32)).network;
    let whole = file(&network);
    let changed = |edit: &dyn Fn(&mut Parts)| refused(&network, edited(&whole, None, edit));

    let missing = changed(&|parts| drop(parts.remove("layers.1.w_rec")));
    assert_eq!(missing, Misfit::Missing("layers.1.w_rec".into()));
    let unexpected = changed(&|parts| drop(parts.insert("layers.2.w_in".into(), parts["feedback"].clone())));
    assert_eq!(unexpected, Misfit::Unexpected("layers.2.w_in".into()));
    let shape = changed(&|parts| parts.get_mut("layers.0.w_in").expect("there").1 = vec![6, 4]);
    let expected = Misfit::Shape {
        tensor: "layers.0.w_in".into(),
        found: vec![6, 4],
        expected: vec![4, 6],
        parameter: "layers.0.w_in".into(),
    };
    assert_eq!(shape, expected);
    assert!(shape.to_string().contains("[6, 4]") && shape.to_string().contains("[4, 6]"), "{shape}");
    let integers = changed(&|parts| parts.get_mut("readout.bias").expect("there").0 = Dtype::I32);
    assert_eq!(integers, Misfit::Type { tensor: "readout.bias".into(), found: "I32".into() });
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let misfit = changed(&|parts| {
            let (_, _, data) = parts.get_mut("layers.1.bias").expect("there");
            data.splice(data.len() - 4.., value.to_le_bytes());
        });
        assert_eq!(misfit.to_string(), "tensor `layers.1.bias` holds NaN or infinity");
    }
}

#[test]
fn what_is_too_large_for_the_type_is_named() {
    let [single, double] =
        [DType::F32, DType::F64].map(|dtype| problem(cells::lif, 1, &on_flex(dtype)).network);
    let large = edited(&file(&double), None, |parts| {
        parts.get_mut("feedback").expect("there").2.splice(..8, 1e300_f64.to_le_bytes());
    });
    assert_eq!(
        refused(&single, large.clone()).to_string(),
        "parameter `feedback` as F32 holds NaN or infinity"
    );
    assert!(from_bytes(&double, large).is_ok());
}

#[test]
fn a_header_that_lies_costs_no_memory() {
    let network = problem(cells::lif, 1, &on_flex(DType::F32)).network;
    let claims = 10_000_000_000_u64;
    let mut header = claims.to_le_bytes().to_vec();
    header.resize(100, b' ');
    let tensor =
        format!(r#"{{"feedback":{{"dtype":"F64","shape":[1250000000],"data_offsets":[0,{claims}]}}}}"#);
    let data = [&(tensor.len() as u64).to_le_bytes(), tensor.as_bytes()].concat();
    for bytes in [header, data] {
        assert!(bytes.len() <= 100, "{} bytes", bytes.len());
        assert!(matches!(refused(&network, bytes), Misfit::Torn(_)));
    }
    // All tests of this file together take far less than what was claimed.
    assert!(ALLOCATOR.peak_usage() < 1_000_000_000, "{} bytes", ALLOCATOR.peak_usage());
}

#[test]
fn files_that_cannot_be_read_or_written_are_named() {
    let network = problem(cells::lif, 1, &on_flex(DType::F32)).network;
    let folder = tempfile::tempdir().expect("a folder");
    let none = folder.path().join("none").join("model.safetensors");
    assert!(matches!(load(&network, &none), Err(InterchangeError::Read { path, .. }) if path == none));
    assert!(matches!(save(&network, &none), Err(InterchangeError::Write { path, .. }) if path == none));
    let torn = folder.path().join("torn.safetensors");
    std::fs::write(&torn, &file(&network)[..1000]).expect("written");
    let error = load(&network, &torn).expect_err("refused").to_string();
    assert!(error.contains("torn.safetensors: not a whole safetensors file"), "{error}");
}

/// Burn's own store reads the file.
#[test]
fn burn_reads_the_file() {
    let options = on_flex(DType::F32);
    let [source, mut target] = [1, 2].map(|seed| problem(cells::lstm, seed, &options).network);
    let mut store = SafetensorsStore::from_bytes(Some(file(&source)));
    let applied = target.load_from(&mut store).expect("read");
    assert!(applied.unused.is_empty() && applied.missing.is_empty(), "{applied}");
    assert_eq!(content(&target), content(&source));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        cut in any::<prop::sample::Index>(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        in_header: bool,
    ) {
        let case = Case { neurons: vec![3], ..Case::new(1) };
        let network = Problem::new(&case, cells::lif_per_neuron, &on_flex(DType::F32)).network;
        let whole = file(&network);
        let torn = whole[..cut.index(whole.len())].to_vec();
        prop_assert!(matches!(from_bytes(&network, torn), Err(Misfit::Torn(_))));

        let mut damaged = whole.clone();
        let header = 8 + u64::from_le_bytes(*whole.first_chunk().expect("a length")) as usize;
        for (place, mask) in damages {
            damaged[place.index(if in_header { header } else { whole.len() })] ^= mask;
        }
        // Where it still is a file of this network, nothing but finite values comes of it.
        if let Ok(loaded) = from_bytes(&network, damaged) {
            let finite = |bytes: Vec<u8>| {
                bytes.as_chunks::<4>().0.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite())
            };
            for ((name, shape, bytes), (known, as_before, _)) in content(&loaded).into_iter().zip(content(&network)) {
                prop_assert_eq!((&name, shape), (&known, as_before));
                prop_assert!(finite(bytes), "{}", name);
            }
        }
    }
}
