//! What is misused says so: what is wrong, where, and what to do.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Mutex;

use burn::optim::SgdConfig;
use burn::tensor::{Device, Tensor};
use burn_eprop::cell::{Lif, LifConfig, LstmConfig};
use burn_eprop::estimator::{Bptt, Eprop};
use burn_eprop::gradients::global_norm;
use burn_eprop::loss::RateRegularization;
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::signal::{LearningSignal, Symmetric};
use burn_eprop::{Batch, GradientEstimator, Loss, Network, NetworkConfig, Objective, OptimizerHook};

fn network(device: &Device) -> Network<Lif> {
    NetworkConfig::new(3, 2).init(vec![LifConfig::new(10).init(device)], device)
}

fn batch() -> Batch {
    let tensor = |size| Tensor::<3>::ones([2, 20, size], &Device::flex());
    Batch::new(tensor(3), tensor(2))
}

fn objective() -> Objective {
    Objective::mean(Loss::MeanSquaredError)
}

fn hook() -> OptimizerHook<Eprop> {
    OptimizerHook::new(SgdConfig::new().init(), Eprop::new(objective(), Symmetric))
}

/// The message of a panic, and the file in which it was caused.
fn panic_of(misuse: impl FnOnce()) -> (String, String) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    static CAUGHT: Mutex<Option<(String, String)>> = Mutex::new(None);
    let _guard = ONE_AT_A_TIME.lock();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|panic| {
        let file = panic.location().map(Location::file).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or_default();
        *CAUGHT.lock().expect("not poisoned") = Some((message.into(), file.into()));
    }));
    let ended = catch_unwind(AssertUnwindSafe(misuse));
    std::panic::set_hook(hook);
    assert!(ended.is_err(), "nothing was refused");
    CAUGHT.lock().expect("not poisoned").take().expect("a panic")
}

/// The panic names this file, not one of the library's.
fn refuses(parts: &[&str], misuse: impl FnOnce()) {
    let (message, file) = panic_of(misuse);
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    assert!(file.ends_with("misuse.rs"), "{file}: {message}");
}

#[test]
fn a_network_without_autodiff_is_refused_before_the_estimate() {
    let parts = ["without autodiff", "device.autodiff()"];
    refuses(&parts, || drop(hook().step(0.1, network(&Device::flex()), &batch())));
    let network = network(&Device::flex());
    refuses(&parts, || drop(hook().into_stream(&network, 2).feed(0.1, network.clone(), &batch())));
}

#[test]
fn panics_name_the_caller() {
    let device = Device::flex().autodiff();
    let inputs = || batch().inputs().clone();
    refuses(&["Batch::classes"], || {
        let ids = Tensor::<3>::ones([2, 20, 1], &Device::flex());
        drop(Eprop::new(objective(), Symmetric).estimate(&network(&device), &Batch::new(inputs(), ids)));
    });
    refuses(&["inputs [2, 20, 2]"], || {
        let wrong = Batch::new(batch().targets().clone(), batch().targets().clone());
        drop(hook().step(0.1, network(&device), &wrong));
    });
    refuses(&["differ in batch or time"], || drop(Batch::new(inputs(), inputs().narrow(1, 0, 3))));
    refuses(&["mask [2, 3]"], || {
        drop(batch().with_mask(Tensor::ones([2, 3], &Device::flex())));
    });
    refuses(&["neurons"], || drop(LifConfig::new(0).init(&device)));
    refuses(&["rate.strength"], || {
        let rate = RateRegularization::new(-1.0, 10.0, 1.0);
        drop(Eprop::new(objective().with_rate(rate), Symmetric));
    });
    refuses(&["inputs [2, 20, 3]"], || {
        let config = NetworkConfig::new(5, 2);
        drop(config.init(vec![LifConfig::new(10).init(&device)], &device).forward(inputs()));
    });
}

/// A step that takes 2 ms for the cells and 1 ms for the readout is a mistake of one of them.
#[test]
fn steps_take_the_same_time_everywhere() {
    let device = Device::flex();
    let cell = |dt_ms| LifConfig::new(4).with_dt_ms(dt_ms).init(&device);
    let slow = NetworkConfig::new(3, 2).init(vec![cell(2.0)], &device);
    assert_eq!(slow.readout.decay(), (-0.1f64).exp(), "the readout takes the cells' steps");
    let readout = LeakyReadoutConfig::new();
    let config = NetworkConfig::new(3, 2).with_readout(Some(readout.clone()));
    refuses(&["dt_ms", "readout", "[2.0, 1.0]"], || drop(config.init(vec![cell(2.0)], &device)));
    refuses(&["dt_ms", "[2.0, 1.0, 1.0]"], || {
        drop(NetworkConfig::new(3, 2).init(vec![cell(2.0), cell(1.0)], &device));
    });
    // A linear readout has no time.
    let config = NetworkConfig::new(3, 2).with_readout(Some(readout.with_tau_ms(None)));
    drop(config.init(vec![cell(2.0)], &device));
}

#[test]
fn an_lstm_has_a_linear_readout_unless_asked() {
    let device = Device::flex();
    let lstm = NetworkConfig::new(3, 2).init(vec![LstmConfig::new(4).init()], &device);
    assert_eq!((lstm.readout.decay(), lstm.readout.factor()), (0.0, 1.0));
    let config = NetworkConfig::new(3, 2).with_readout(Some(LeakyReadoutConfig::new()));
    assert!(config.init(vec![LstmConfig::new(4).init()], &device).readout.decay() > 0.9);
}

/// A mean over nothing is refused, unless something else is to be learned.
#[test]
fn a_mask_that_counts_nothing_is_told() {
    let device = Device::flex().autodiff();
    let nothing = || batch().with_mask(Tensor::zeros([2, 20], &Device::flex()));
    let (_, report) = hook().step(0.1, network(&device), &nothing());
    let error = report.ensure_finite().expect_err("nothing counts");
    assert!(error.to_string().contains("no step counts"), "{error}");
    let objective = objective().with_rate(RateRegularization::new(1.0, 10.0, 1.0));
    let mut hook = OptimizerHook::new(SgdConfig::new().init(), Eprop::new(objective, Symmetric));
    assert!(hook.step(0.1, network(&device), &nothing()).1.ensure_finite().is_ok());
}

/// An infinite weight may leave all gradients finite: a neuron that always spikes has no slope.
#[test]
fn weights_that_are_not_finite_are_told_by_name() {
    let device = Device::flex().autodiff();
    let set = |value: f64, place: fn(&mut Network<Lif>) -> &mut burn::module::Param<Tensor<2>>| {
        let mut network = network(&device);
        let weights = place(&mut network);
        *weights = weights.clone().map(|weights| {
            let first = Tensor::<2>::zeros([1, 1], &weights.device()).add_scalar(value);
            weights.slice_assign([0..1, 1..2], first).detach().require_grad()
        });
        network
    };
    type Place = fn(&mut Network<Lif>) -> &mut burn::module::Param<Tensor<2>>;
    let places: [(&str, Place); 4] = [
        ("layers.0.w_in", |network| &mut network.layers[0].w_in),
        ("layers.0.w_rec", |network| &mut network.layers[0].w_rec),
        ("readout.weight", |network| &mut network.readout.weight),
        ("feedback", |network| &mut network.feedback),
    ];
    for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        for (name, place) in places {
            let network = set(value, place);
            let estimators: [Box<dyn GradientEstimator<Lif>>; 3] = [
                Box::new(Eprop::new(objective(), Symmetric)),
                Box::new(Bptt::new(objective())),
                Box::new(Bptt::new(objective()).with_kernels(false)),
            ];
            for mut estimator in estimators {
                let estimate = estimator.estimate(&network, &batch());
                let error = global_norm(&network, &estimate.gradients).expect_err("not finite");
                assert!(error.what.contains(name), "{value} in {name}: {error}");
            }
            let before = network.layers[0].w_in.val().to_data();
            let (after, report) = hook().step(0.1, network, &batch());
            let error = report.ensure_finite().expect_err("not finite");
            assert!(error.what.contains(name), "{value} in {name}: {error}");
            let same = after.layers[0].w_in.val().to_data();
            assert_eq!(
                before.try_into_vec::<f32>().map(bits),
                same.try_into_vec::<f32>().map(bits),
                "nothing has changed"
            );
        }
    }
}

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

#[cfg(feature = "ndarray")]
#[test]
fn a_batch_on_another_device_is_refused() {
    #[allow(deprecated)]
    let elsewhere = Device::ndarray();
    let parts = ["inputs", "Flex", "NdArray", "to_device"];
    let network = network(&Device::flex().autodiff());
    refuses(&parts, || drop(hook().step(0.1, network.clone(), &batch().to_device(&elsewhere))));
    refuses(&parts, || drop(network.forward(batch().inputs().clone().to_device(&elsewhere))));
    let targets = Batch::new(batch().inputs().clone(), batch().targets().clone().to_device(&elsewhere));
    refuses(&["targets", "Flex", "NdArray"], || drop(hook().step(0.1, network.clone(), &targets)));
}

/// Signals and estimators can be shared among threads.
#[test]
fn signals_and_estimators_are_sync() {
    fn shared<T: Send + Sync + ?Sized>() {}
    shared::<dyn LearningSignal>();
    shared::<Eprop>();
    shared::<burn_eprop::estimator::Eprop3>();
    shared::<Bptt>();
}
