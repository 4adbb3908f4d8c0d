//! Learning signals: their values, their feedback weights, and a signal of a user's own.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::optim::{AdamConfig, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Tensor, TensorCreationOptions};
use burn_eprop::cell::Lif;
use burn_eprop::estimator::{Bptt, Eprop};
use burn_eprop::signal::{Adaptive, Global, LearningSignal, Random, SignalContext, Symmetric};
use burn_eprop::{GradientEstimator, Loss, Network, Objective, OnlineEstimator};
use eprop_tests::case::{Case, Problem, float64, tensor};
use eprop_tests::cells::lif;
use eprop_tests::findings::{
    Findings, assert_close, assert_same_gradients, gradients, relative_difference, values,
};
use eprop_tests::smoothed::Smoothed;

const EXACT: f64 = 1e-14;

fn options() -> TensorCreationOptions {
    float64(&Device::flex())
}

/// One sequence of two steps, three neurons, two outputs.
fn context() -> SignalContext {
    let options = options();
    SignalContext {
        error: tensor(vec![1.0, -2.0, 0.0, 3.0], [1, 2, 2], &options),
        outputs: Tensor::zeros([1, 2, 2], options.clone()),
        targets: Tensor::zeros([1, 2, 2], options.clone()),
        inputs: Tensor::zeros([1, 2, 1], options.clone()),
        teaching: None,
        neurons: Tensor::zeros([1, 2, 3], options.clone()),
        mask: Tensor::ones([1, 2, 1], options.clone()),
        time: 0..2,
        readout_weight: tensor(vec![1.0, 2.0, -1.0, 0.5, 0.0, 4.0], [3, 2], &options),
        feedback: tensor(vec![2.0, 0.0, 1.0, 1.0, -3.0, 0.5], [3, 2], &options),
    }
}

/// L_j = Σ_k B_jk err_k at both steps.
#[test]
fn by_hand() {
    let by_feedback = [2.0, -1.0, -4.0, 0.0, 3.0, 1.5];
    let root = 3.0_f64.sqrt();
    let global = [-1.0 / root, -1.0 / root, -1.0 / root, 3.0 / root, 3.0 / root, 3.0 / root];
    let signals: [(Box<dyn LearningSignal>, [f64; 6]); 4] = [
        (Box::new(Symmetric), [1.0 - 4.0, -1.0 - 1.0, -8.0, 6.0, 1.5, 12.0]),
        (Box::new(Random), by_feedback),
        (Box::new(Adaptive::default()), by_feedback),
        (Box::new(Global), global),
    ];
    for (mut signal, expected) in signals {
        let found = signal.signal(&context());
        assert_eq!(found.dims(), [1, 2, 3]);
        assert_close(&format!("{signal:?}"), &values(&found), &expected, EXACT);
    }
}

/// Two layers under a normalised readout with κ = exp(−1/5).
fn problem() -> Problem<Lif> {
    let objective = Objective::mean(Loss::SoftmaxCrossEntropy);
    let case = Case { neurons: vec![6, 5], normalized_readout: true, mask: true, objective, ..Case::new(1) };
    Problem::new(&case, lif, &options())
}

/// Each layer gets the signal of its own neurons, times the readout's factor.
#[test]
fn reach_their_layers_with_the_factor_of_the_readout() {
    let Problem { network, batch, objective } = problem();
    let factor = 1.0 - (-1.0_f64 / 5.0).exp();
    let feedback = values(&network.feedback.val());
    let outputs = network.outputs();
    let mut eprop = Eprop::new(objective, Random).with_chunk(batch.steps());
    eprop.estimate_observed(&network, &batch, &mut |record| {
        let errors = values(&record.error);
        let mut first = 0;
        for layer in record.layers {
            let neurons = layer.outputs.dims()[2];
            let rows = feedback[first * outputs..(first + neurons) * outputs].chunks(outputs);
            let signal = |error: &[f64], row: &[f64]| -> f64 {
                row.iter().zip(error).map(|(weight, error)| factor * weight * error).sum()
            };
            let of_step = |error| rows.clone().map(move |row| signal(error, row));
            let expected: Vec<_> = errors.chunks(outputs).flat_map(of_step).collect();
            assert_close("L", &values(&layer.signal), &expected, 1e-12);
            first += neurons;
        }
        assert_eq!(first, network.neurons());
    });
}

#[test]
fn adaptive_feedback_alone_has_a_gradient() {
    let Problem { network, batch, objective } = problem();
    let estimate =
        |signal: Box<dyn LearningSignal>| Eprop::boxed(objective, signal).estimate(&network, &batch);
    let gradients = estimate(Box::<Adaptive>::default()).gradients;
    let [of_feedback, of_readout] = [network.feedback.id, network.readout.weight.id]
        .map(|id| values(&gradients.get::<2>(id).expect("a gradient")));
    assert_close("gradient of B", &of_feedback, &of_readout, 0.0);

    let fixed: [Box<dyn LearningSignal>; 3] = [Box::new(Symmetric), Box::new(Random), Box::new(Global)];
    for signal in fixed {
        assert!(estimate(signal).gradients.get::<2>(network.feedback.id).is_none());
    }
}

/// W_out − B shrinks by the decay with every update, whatever the optimizer: both get the same updates.
#[test]
fn adaptive_feedback_converges_to_the_readout() {
    let decay = 0.05;
    let updates = 30;
    let optimizers: [(ModuleOptimizer, f64); 2] =
        [(SgdConfig::new().init(), 0.05), (AdamConfig::new().init(), 1e-2)];
    for (mut optimizer, learning_rate) in optimizers {
        let Problem { network, batch, objective } = problem();
        let start = network.train();
        let mut eprop = Eprop::new(objective, Adaptive::new(decay).expect("a fraction"));
        let mut trained = start.clone();
        for _ in 0..updates {
            let estimate = eprop.estimate(&trained, &batch);
            trained = optimizer.step(learning_rate, trained, estimate.gradients);
            trained = eprop.after_update(trained);
        }
        let factor = (1.0_f64 - decay).powi(updates);
        let expected: Vec<_> = apart(&start).iter().map(|difference| factor * difference).collect();
        assert_close("W_out − B", &apart(&trained), &expected, 1e-11);

        // The readout has learned besides, and both have stayed what they were to autodiff.
        let [before, after] = [&start, &trained].map(|network| values(&network.readout.weight.val()));
        let decayed: Vec<_> = before.iter().map(|weight| factor * weight).collect();
        assert!(relative_difference(&after, &decayed) > 1e-2);
        let gradients = Bptt::new(objective).estimate(&trained, &batch).gradients;
        assert!(gradients.get::<2>(trained.readout.weight.id).is_some());
        assert!(gradients.get::<2>(trained.feedback.id).is_none());
    }
}

fn apart(network: &Network<Lif>) -> Vec<f64> {
    values(&(network.readout.weight.val() - network.feedback.val()))
}

/// Half of the symmetric signal; it notes which steps it and its clones have seen.
#[derive(Debug, Clone, Default)]
struct Halved {
    seen: Arc<Mutex<Vec<Range<usize>>>>,
}

impl LearningSignal for Halved {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        let [_, steps, neurons] = context.neurons.dims();
        assert_eq!([steps, neurons], [context.time.len(), context.readout_weight.dims()[0]]);
        self.seen.lock().expect("one thread").push(context.time.clone());
        context.broadcast(context.readout_weight.clone()).mul_scalar(0.5)
    }
}

#[test]
fn a_signal_of_ones_own_works() {
    let problem = problem();
    let halved = Halved::default();
    let mut eprop = Eprop::new(problem.objective, halved.clone()).with_chunk(10);
    let estimate = eprop.estimate(&problem.network, &problem.batch);
    let found = gradients(&problem.network, &estimate);
    let mut expected = problem.estimate(problem.eprop(10)).gradients;
    for (_, gradient) in expected.iter_mut().filter(|(name, _)| name.starts_with("layer")) {
        gradient.iter_mut().for_each(|value| *value *= 0.5);
    }
    assert_same_gradients("half the signal", &found, &expected, EXACT);
    assert_eq!(*halved.seen.lock().expect("one thread"), [0..10, 10..20, 20..24]);
}

/// Steps are counted from the start of each sequence.
#[test]
fn a_signal_sees_a_stream_in_the_order_of_time() {
    let Problem { network, batch, objective } = problem();
    let halved = Halved::default();
    let mut eprop = Eprop::new(objective, halved.clone()).with_chunk(6);
    for _ in 0..2 {
        let mut state = eprop.start(&network, batch.size());
        for piece in [0..10, 10..12] {
            eprop.feed(&network, &mut state, &batch.piece(piece));
        }
    }
    assert_eq!(*halved.seen.lock().expect("one thread"), [0..6, 6..10, 10..12, 0..6, 6..10, 10..12]);
}

/// What a signal remembers belongs to the sequence: neither chunks nor pieces nor another sequence in between
/// change what it says, and each sequence starts afresh.
#[test]
fn a_signal_that_remembers_is_carried_with_its_stream() {
    let Problem { network, batch, objective } = problem();
    let mut eprop = Eprop::new(objective, Smoothed::default()).with_chunk(100);
    let whole = gradients(&network, &eprop.estimate(&network, &batch));
    let again = gradients(&network, &eprop.estimate(&network, &batch));
    assert_eq!(whole, again);
    let without = gradients(&network, &Eprop::new(objective, Symmetric).estimate(&network, &batch));
    assert_ne!(whole, without);

    let mut eprop = eprop.with_chunk(5);
    let mut state = eprop.start(&network, batch.size());
    let mut sum = Findings::new(&network, &eprop.feed(&network, &mut state, &batch.piece(0..7)));
    eprop.estimate(&network, &batch);
    sum.add_piece(Findings::new(&network, &eprop.feed(&network, &mut state, &batch.piece(7..24))));
    assert_same_gradients("a remembering signal in pieces", &sum.gradients, &whole, 1e-12);
}

/// The mask is the batch's own, whatever the loss is divided by.
#[test]
fn a_signal_sees_the_mask() {
    let Problem { network, batch, objective } = problem();
    let masks = Masks::default();
    Eprop::new(objective, masks.clone()).with_chunk(24).estimate(&network, &batch);
    assert_eq!(*masks.seen.lock().expect("one thread"), values(&batch.weights()));
}

/// No signal; it notes the mask.
#[derive(Debug, Clone, Default)]
struct Masks {
    seen: Arc<Mutex<Vec<f64>>>,
}

impl LearningSignal for Masks {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        self.seen.lock().expect("one thread").extend(values(&context.mask));
        context.neurons.zeros_like()
    }
}

/// A signal for one neuron too few.
#[derive(Debug, Clone)]
struct Misshapen;

impl LearningSignal for Misshapen {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        context.neurons.clone().slice_dim(2, 1..)
    }
}

#[test]
#[should_panic(expected = "learning signal [3, 7, 10] for neurons [batch, time, neurons] [3, 7, 11]")]
fn a_signal_of_another_shape_is_refused() {
    let Problem { network, batch, objective } = problem();
    Eprop::new(objective, Misshapen).with_chunk(7).estimate(&network, &batch);
}

#[test]
fn a_decay_outside_its_range_is_refused() {
    for decay in [-0.1, 1.0, f64::NAN] {
        let error = Adaptive::new(decay).expect_err("no fraction");
        let message = error.to_string();
        assert_eq!(message, format!("`decay` is {decay}, but must be at least 0 and less than 1"));
    }
}
