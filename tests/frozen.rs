//! Frozen weights stay, whatever trains the network; what is not frozen goes on learning.

use burn::module::{Module, ParamGroup};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor};
use burn_eprop::cell::{Alif, AlifConfig, Lif, LifConfig};
use burn_eprop::estimator::{Bptt, Eprop, Eprop3, TruncatedBptt};
use burn_eprop::loss::{RateRegularization, VoltageRegularization};
use burn_eprop::meta::{MetaLearner, OneShot};
use burn_eprop::reward::{ActorCritic, ActorCriticConfig, Outcome};
use burn_eprop::signal::{Adaptive, Random, Symmetric};
use burn_eprop::synthetic_gradient::SyntheticGradientConfig;
use burn_eprop::{
    Batch, Cell, GradientEstimator, Loss, Network, NetworkConfig, Objective, OnlineEstimator, OptimizerHook,
};
use eprop_tests::findings::values;

const INPUTS: usize = 3;
const OUTPUTS: usize = 2;

fn device() -> Device {
    Device::flex().autodiff()
}

fn network() -> Network<Lif> {
    let cell = |neurons| LifConfig::new(neurons).with_bias(true).init(&device());
    NetworkConfig::new(INPUTS, OUTPUTS).init(vec![cell(20), cell(10)], &device())
}

fn batch() -> Batch {
    let [inputs, targets] = [INPUTS, OUTPUTS].map(|size| Tensor::<3>::ones([4, 50, size], &device()));
    Batch::new(inputs, targets)
}

fn objective() -> Objective {
    Objective::mean(Loss::MeanSquaredError)
}

/// The ways in which Burn freezes the lower layer.
fn frozen_layers() -> Vec<(&'static str, Network<Lif>)> {
    let on_layer = |freeze: fn(burn_eprop::network::RecurrentLayer<Lif>) -> _| {
        let mut network = network();
        network.layers[0] = freeze(network.layers[0].clone());
        network
    };
    let by_group = network();
    let group = ParamGroup::ids_from_module(by_group.layers[0].clone());
    vec![
        ("freeze", on_layer(Module::freeze)),
        ("no_grad", on_layer(Module::no_grad)),
        ("set_require_grad", on_layer(|layer| layer.set_require_grad(false))),
        ("freeze_group", by_group.freeze_group(group)),
    ]
}

/// W_in, W_rec and b of a layer, in one row.
fn weights<C: Cell>(network: &Network<C>, layer: usize) -> Vec<f64> {
    let layer = &network.layers[layer];
    let bias = layer.bias.as_ref().map_or_else(Vec::new, |bias| values(&bias.val()));
    [values(&layer.w_in.val()), values(&layer.w_rec.val()), bias].concat()
}

fn check(name: &str, before: &Network<Lif>, after: &Network<Lif>) {
    assert_eq!(weights(before, 0), weights(after, 0), "{name}: the frozen layer");
    assert_ne!(weights(before, 1), weights(after, 1), "{name}: the other layer");
    let readout = |network: &Network<Lif>| values(&network.readout.weight.val());
    assert_ne!(readout(before), readout(after), "{name}: the readout");
}

fn by_hook<E>(name: &str, estimator: E)
where
    E: GradientEstimator<Lif> + OnlineEstimator<Lif> + Clone,
{
    for (way, network) in frozen_layers() {
        let hook = || OptimizerHook::new(SgdConfig::new().init(), estimator.clone());
        let (after, report) = hook().step(1e-2, network.clone(), &batch());
        check(&format!("{name}, {way}"), &network, &after);
        let (_, whole) = hook().step(1e-2, network.clone().unfreeze(), &batch());
        assert!(report.gradient_norm < whole.gradient_norm, "{name}, {way}: the norm counts what is frozen");

        let mut stream = hook().into_stream(&network, 4);
        let (after, _) = stream.feed(1e-2, network.clone(), &batch());
        check(&format!("{name}, {way}, a stream"), &network, &after);
    }
}

#[test]
fn by_eprop() {
    by_hook("random", Eprop::new(objective(), Random));
    by_hook("adaptive", Eprop::new(objective(), Adaptive::default()));
    let regularised = objective()
        .with_rate(RateRegularization::new(1.0, 10.0, 1.0))
        .with_voltage(VoltageRegularization { strength: 1e-3 });
    by_hook("regularised", Eprop::new(regularised, Symmetric));
}

#[test]
fn by_eprop_3_and_truncated_bptt() {
    by_hook("e-prop 3", Eprop3::new(objective(), 10));
    by_hook("long windows", Eprop3::new(objective(), 40));
    by_hook("truncated BPTT", TruncatedBptt::new(objective(), 10));
}

#[test]
fn by_bptt() {
    for kernels in [false, true] {
        for (way, network) in frozen_layers() {
            let estimator = Bptt::new(objective()).with_kernels(kernels);
            let mut hook = OptimizerHook::new(SgdConfig::new().init(), estimator);
            let (after, _) = hook.step(1e-2, network.clone(), &batch());
            check(&format!("BPTT, {way}, kernels {kernels}"), &network, &after);
        }
    }
}

/// A readout that is frozen neither learns nor decays; the feedback weights, which autodiff never trains, learn all the same.
#[test]
fn an_adaptive_signal_leaves_a_frozen_readout_alone() {
    let mut network = network();
    network.readout = network.readout.freeze();
    let estimator = Eprop::new(objective(), Adaptive::new(0.1).expect("a decay"));
    let mut hook = OptimizerHook::new(SgdConfig::new().init(), estimator);
    let (after, _) = hook.step(1e-2, network.clone(), &batch());
    assert_eq!(values(&network.readout.weight.val()), values(&after.readout.weight.val()));
    assert_ne!(values(&network.feedback.val()), values(&after.feedback.val()));
    assert_ne!(weights(&network, 0), weights(&after, 0));
}

/// A synthetic gradient that is frozen predicts, and does not learn; one whose output layer is frozen does not learn there.
#[test]
fn a_frozen_synthetic_gradient_stays() {
    let network = network().with_synthetic_gradient(&SyntheticGradientConfig::new());
    let module = |network: &Network<Lif>| {
        let module = network.synthetic_gradient.as_ref().expect("configured");
        values(&module.output.weight.val())
    };
    let step = |network: &Network<Lif>| {
        let mut hook = OptimizerHook::new(SgdConfig::new().init(), Eprop3::new(objective(), 10));
        hook.step(1e-2, network.clone(), &batch()).0
    };
    assert_ne!(module(&network), module(&step(&network)), "a module that is not frozen learns");
    let mut frozen = network.clone();
    frozen.synthetic_gradient = frozen.synthetic_gradient.map(Module::freeze);
    let after = step(&frozen);
    assert_eq!(module(&frozen), module(&after));
    assert_ne!(weights(&frozen, 0), weights(&after, 0));
}

#[test]
fn by_rewards() {
    for (way, network) in frozen_layers() {
        let agent = ActorCritic::new(ActorCriticConfig::default(), Symmetric);
        let mut state = agent.start(&network, 4);
        for _ in 0..3 {
            agent.observe(&network, &mut state, Tensor::ones([4, 5, INPUTS], &device()));
            let outcome = Outcome { action: 0, reward: 1.0, ended: false };
            agent.learn(&network, &mut state, &[Some(outcome); 4]);
        }
        let gradients = agent.gradients(&network, &mut state).gradients;
        check_gradients(way, &network, &gradients);
    }
}

fn check_gradients(way: &str, network: &Network<Lif>, gradients: &GradientsParams) {
    let has = |layer: usize| {
        let layer = &network.layers[layer];
        [layer.w_in.id, layer.w_rec.id].map(|id| gradients.get::<2>(id).is_some())
    };
    assert_eq!([has(0), has(1)], [[false; 2], [true; 2]], "{way}");
}

/// The update of a task leaves frozen weights as they are, as the outer loop does.
#[test]
fn by_one_shot_learning() {
    let cell = || -> Alif { AlifConfig::mixed(10, 5, 0.05).init(&device()) };
    let learner = NetworkConfig::new(INPUTS, OUTPUTS).init(vec![cell()], &device());
    let module = NetworkConfig::new(OUTPUTS + 10 + INPUTS, 10).init(vec![cell()], &device());
    let training = batch().with_teaching(batch().targets().clone());
    let one_shot = OneShot::new(objective());
    for frozen in [false, true] {
        let mut learner = learner.clone();
        if frozen {
            learner.layers[0].w_in = learner.layers[0].w_in.clone().set_require_grad(false);
        }
        let meta = MetaLearner::new(learner, module.clone(), 1e-2);
        let adapted = one_shot.adapt(&meta, &training);
        let layer = &meta.learner.layers[0];
        let changed = |weights: &burn_eprop::network::Weights, before: Tensor<2>| {
            let before = values(&before.without_autodiff());
            match weights {
                burn_eprop::network::Weights::Shared(after) => values(after) != before,
                burn_eprop::network::Weights::OfSequence(after) => {
                    values(&after.clone().narrow(0, 0, 1)) != before
                }
            }
        };
        assert_eq!(changed(&adapted.weights[0].w_in, layer.w_in.val()), !frozen);
        assert!(changed(&adapted.weights[0].w_rec, layer.w_rec.val()));

        let estimate =
            one_shot.estimate(&meta, &training, training.inputs().clone(), |outputs| outputs.square().mean());
        assert_eq!(estimate.gradients.get::<2>(layer.w_in.id).is_some(), !frozen);
        assert!(estimate.gradients.get::<2>(layer.w_rec.id).is_some());
    }
}

/// Everything frozen but the readout, and everything frozen at all: there may be nothing to go backward through.
#[test]
fn a_network_may_be_frozen_as_a_whole() {
    let estimate = |estimator: &mut dyn GradientEstimator<Lif>, network: &Network<Lif>| {
        estimator.estimate(network, &batch()).gradients.len()
    };
    let mut readout_alone = network();
    readout_alone.layers = readout_alone.layers.into_iter().map(Module::freeze).collect();
    let nothing = network().freeze();
    let estimators: [Box<dyn GradientEstimator<Lif>>; 5] = [
        Box::new(Eprop::new(objective(), Symmetric)),
        Box::new(Eprop3::new(objective(), 10)),
        Box::new(TruncatedBptt::new(objective(), 10)),
        Box::new(Bptt::new(objective())),
        Box::new(Bptt::new(objective()).with_kernels(false)),
    ];
    for mut estimator in estimators {
        assert_eq!(estimate(estimator.as_mut(), &readout_alone), 2);
        assert_eq!(estimate(estimator.as_mut(), &nothing), 0);
    }
}
