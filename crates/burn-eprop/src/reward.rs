//! Reward-based e-prop: an actor-critic that learns while an episode goes on.
//!
//! The network's outputs are a policy π over K actions, the softmax of the first K, and the value V, the last. In place of
//! targets there are actions that were taken and rewards. With the error
//!
//! $$ err_k^t = \pi_k^t - 1[a^t = k] \quad (k \le K), \qquad err_V^t = -C_V \tag{1} $$
//!
//! a [learning signal](crate::signal) $L_j^t = \sum_k B_{jk}\, err_k^t$ says how each neuron would make the action more
//! probable and the value larger. Whether that is wanted shows later, by the temporal-difference error
//!
//! $$ \delta^t = r^t + \gamma V^{t+1} - V^t, \tag{2} $$
//!
//! which is broadcast to all synapses and meets what their traces still know of it (Bellec et al. 2020,
//! doi:10.1038/s41467-020-17236-y, eqs. 5, 35 and 36):
//!
//! $$ g^t = \delta^t\, F_\gamma(L_j \bar e_{ji})^t, \qquad F_\gamma(u)^t = \gamma F_\gamma(u)^{t-1} + u^t, \tag{3} $$
//!
//! and so, with err in place of L and the readout's filter of z in place of ē, for W_out. Descending g reinforces what was
//! done where δ > 0.
//!
//! | symbol | shape | here |
//! |---|---|---|
//! | err | [batch, K + 1] | [`ActorCritic::learn`] |
//! | δ | `[batch]` | [`ActorCritic::learn`], [`ActorCritic::observe`] |
//! | F_γ(L ē) | [batch, post, pre] | [`ActorCriticState`] |
//! | γ, C_V | | [`ActorCriticConfig`] |
//!
//! Where weights change after episodes alone, [`Loss::ActorCritic`](crate::Loss::ActorCritic) gives the same gradient from whole
//! episodes, with any estimator.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::batch::BatchChunk;
use crate::cell::Cell;
use crate::eligibility::{Chunk, EligibilityTraces, SummedTraces};
use crate::error::ConfigError;
use crate::estimator::Estimate;
use crate::network::{LayerChunk, Network, NetworkChunk, NetworkState, Purpose};
use crate::signal::{LearningSignal, SignalContext, register_feedback};
use crate::steps::low_pass_end;

/// How an actor-critic weighs the future and its critic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorCriticConfig {
    /// γ, by which a reward counts less for each step that it comes later.
    pub discount: f64,
    /// C_V, the weight of the value's error beside the policy's.
    pub value_weight: f64,
}

impl Default for ActorCriticConfig {
    /// γ = 0.99, C_V = 0.5.
    fn default() -> Self {
        Self { discount: 0.99, value_weight: 0.5 }
    }
}

impl ActorCriticConfig {
    /// Checks the ranges of all fields.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { discount, value_weight } = *self;
        ConfigError::check((0.0..=1.0).contains(&discount), "discount", discount, "between 0 and 1")?;
        let valid = value_weight.is_finite() && value_weight >= 0.0;
        ConfigError::check(valid, "value_weight", value_weight, "finite and at least 0")
    }
}

/// Reward-based e-prop with a learning signal.
///
/// A step of the environment is: [`observe`](Self::observe) what there is to see and get a policy, act, and
/// [`learn`](Self::learn) from action and reward. Every so many steps an optimizer takes the
/// [`gradients`](Self::gradients) that have come together.
#[derive(Debug, Clone)]
pub struct ActorCritic {
    signal: Box<dyn LearningSignal>,
    config: ActorCriticConfig,
}

/// What an actor-critic carries from step to step, for a batch of episodes side by side.
#[derive(Debug, Clone)]
pub struct ActorCriticState {
    network: NetworkState,
    initial: NetworkState,
    signal: Box<dyn LearningSignal>,
    layers: Vec<LayerTraces>,
    readout: ReadoutTraces,
    /// What was observed and not yet learnt from.
    observed: Option<Observed>,
    /// r^t and V^t, [batch, 1], until V^{t+1} is known.
    pending: Option<[Tensor<2>; 2]>,
    found: Found,
    time: usize,
}

#[derive(Debug, Clone)]
struct LayerTraces {
    engine: EligibilityTraces,
    /// ē at the last step, by current, [batch, post, pre].
    traces: Vec<Tensor<3>>,
    /// F_γ(L ē), by current.
    faded: Vec<Tensor<3>>,
}

#[derive(Debug, Clone)]
struct ReadoutTraces {
    /// F_κ(z), [batch, neurons], and F_κ(1), [batch, 1], without the readout's factor.
    filtered: [Option<Tensor<2>>; 2],
    /// F_γ of the outer product of F_κ(z) and err, [batch, neurons, outputs], and of F_κ(1) and err, [batch, outputs].
    faded: (Tensor<3>, Tensor<2>),
}

/// The last step of what was observed.
#[derive(Debug, Clone)]
struct Observed {
    chunk: BatchChunk,
    /// y, [1, batch, outputs].
    outputs: Tensor<3>,
    /// z of all layers, [1, batch, neurons].
    neurons: Tensor<3>,
}

/// What has come together since gradients were taken.
#[derive(Debug, Clone, Default)]
struct Found {
    layers: Vec<Vec<Tensor<2>>>,
    readout: Option<(Tensor<2>, Tensor<1>)>,
    /// Σ ½ δ² over steps, the mean of the batch.
    loss: f64,
    /// Σ_t of the mean of z over the batch, by layer, and the steps.
    spikes: Vec<Tensor<1>>,
    steps: usize,
}

/// What to do, and what it is worth.
#[derive(Debug, Clone)]
pub struct Policy {
    /// π, [batch, actions].
    pub probabilities: Tensor<2>,
    /// V, `[batch]`.
    pub values: Tensor<1>,
}

impl Policy {
    /// An action for each episode, drawn from its probabilities.
    pub fn sample(&self, rng: &mut impl Rng) -> Vec<usize> {
        let actions = self.probabilities.dims()[1];
        let probabilities: Vec<f64> = self.probabilities.to_data().iter::<f64>().collect();
        let draw = |row: &[f64]| {
            let mut left = rng.random::<f64>() * row.iter().sum::<f64>();
            let reached = row.iter().position(|probability| {
                left -= probability;
                left < 0.0
            });
            reached.unwrap_or(actions - 1)
        };
        probabilities.chunks(actions).map(draw).collect()
    }

    /// The most probable action for each episode.
    pub fn best(&self) -> Vec<usize> {
        let best: Tensor<2, Int> = self.probabilities.clone().argmax(1);
        best.to_data().iter::<i64>().map(|action| action as usize).collect()
    }

    /// π and V of outputs [batch, K + 1].
    fn of(outputs: &Tensor<2>) -> Self {
        let [batch, width] = outputs.dims();
        Self {
            probabilities: softmax(outputs.clone().narrow(1, 0, width - 1), 1),
            values: outputs.clone().narrow(1, width - 1, 1).reshape([batch]),
        }
    }
}

impl ActorCritic {
    /// Reward-based e-prop with this learning signal.
    ///
    /// # Panics
    ///
    /// If the configuration is not [valid](ActorCriticConfig::validate), or the signal does not speak of the readout's error.
    pub fn new(config: ActorCriticConfig, signal: impl LearningSignal + 'static) -> Self {
        Self::boxed(config, Box::new(signal))
    }

    /// As [`new`](Self::new), for a signal chosen at run time.
    ///
    /// # Panics
    ///
    /// If the configuration is not [valid](ActorCriticConfig::validate), or the signal does not speak of the readout's error.
    pub fn boxed(config: ActorCriticConfig, signal: Box<dyn LearningSignal>) -> Self {
        config.validate().unwrap_or_else(|error| panic!("ActorCriticConfig: {error}"));
        assert!(signal.speaks_of_outputs(), "{signal:?} does not speak of the readout's error, which rewards give");
        Self { signal, config }
    }

    /// The state at the start of `batch` episodes.
    ///
    /// # Panics
    ///
    /// If the network has less than two outputs, an action and the value.
    pub fn start<C: Cell>(&self, network: &Network<C>, batch: usize) -> ActorCriticState {
        let network = network.valid();
        let outputs = network.outputs();
        assert!(outputs >= 2, "{outputs} outputs, but a policy and a value need at least 2");
        let options = network.options();
        let layers = network.layers.iter().map(|layer| {
            let synapses = layer.synapses(batch);
            let shape = [batch, synapses.post, synapses.pre];
            let faded = vec![Tensor::zeros(shape, options.clone()); synapses.currents];
            let summed = SummedTraces::PerTrial(Vec::new());
            LayerTraces { engine: EligibilityTraces::new(0.0, synapses, summed), traces: faded.clone(), faded }
        });
        let weight = Tensor::zeros([batch, network.neurons(), outputs], options.clone());
        let bias = Tensor::zeros([batch, outputs], options);
        ActorCriticState {
            initial: network.initial_state(batch),
            network: network.initial_state(batch),
            signal: self.signal.clone(),
            layers: layers.collect(),
            readout: ReadoutTraces { filtered: [None, None], faded: (weight, bias) },
            observed: None,
            pending: None,
            found: Found::default(),
            time: 0,
        }
    }

    /// Shows observations [batch, time, inputs] to the network, one step of the environment in one or several of the network, and
    /// returns what it would do after the last of them.
    ///
    /// # Panics
    ///
    /// If the observations do not fit network and state, or what was observed before has not been
    /// [learnt](Self::learn) from.
    pub fn observe<C: Cell>(
        &self,
        network: &Network<C>,
        state: &mut ActorCriticState,
        observations: Tensor<3>,
    ) -> Policy {
        assert!(state.observed.is_none(), "observations come after what was learnt of the last ones");
        network.check_inputs(&observations);
        let network = network.valid();
        let [batch, steps, _] = observations.dims();
        state.network.check(&network, batch);
        assert!(steps > 0, "observations without a step");
        let inputs = observations.cast(network.readout.weight.dtype()).without_autodiff().swap_dims(0, 1);
        let mut last = None;
        for input in inputs.split(1, 0) {
            let NetworkChunk { layers, neurons, outputs } =
                network.advance(&mut state.network, input.clone(), Purpose::Traces);
            state.advance(network.readout.decay(), layers, &neurons);
            last = Some((input, outputs, neurons));
        }
        let (inputs, outputs, neurons) = last.expect("there is a step");
        let [_, _, width] = outputs.dims();
        let policy = Policy::of(&outputs.clone().reshape([batch, width]));
        if let Some([rewards, before]) = state.pending.take() {
            // Equation 2.
            let next = policy.values.clone().reshape([batch, 1]);
            state.reinforce(rewards + next.mul_scalar(self.config.discount) - before);
        }
        let ones = inputs.clone().narrow(2, 0, 1).ones_like();
        let chunk = BatchChunk {
            targets: outputs.zeros_like(),
            teaching: None,
            mask: ones.clone(),
            weight: ones,
            valid: None,
            inputs,
        };
        state.observed = Some(Observed { chunk, outputs, neurons });
        policy
    }

    /// Takes in what was done after the last observations, an action for each episode, what it brought, and whether the episode
    /// has ended with it. The next episode then begins in the same place of the batch.
    ///
    /// # Panics
    ///
    /// If nothing was observed, there is not one of each for each episode, an action does not exist, or a reward is not finite.
    pub fn learn<C: Cell>(
        &self,
        network: &Network<C>,
        state: &mut ActorCriticState,
        actions: &[usize],
        rewards: &[f64],
        ended: &[bool],
    ) {
        let Observed { chunk, outputs, neurons } =
            state.observed.take().expect("something must be observed before it is learnt from");
        let [_, batch, width] = outputs.dims();
        let given = [actions.len(), rewards.len(), ended.len()];
        assert_eq!(given, [batch; 3], "actions, rewards and ends {given:?} of {batch} episodes");
        if let Some(action) = actions.iter().find(|&&action| action + 1 >= width) {
            panic!("action {action} of {} actions", width - 1);
        }
        assert!(rewards.iter().all(|reward| reward.is_finite()), "rewards {rewards:?} must be finite");
        let network = network.valid();
        let options = network.options();
        let policy = Policy::of(&outputs.clone().reshape([batch, width]));
        // Equation 1.
        let chosen = actions.iter().flat_map(|&action| (0..width - 1).map(move |k| f64::from(u8::from(k == action))));
        let chosen = TensorData::new(chosen.collect::<Vec<_>>(), [batch, width - 1]);
        let of_policy = policy.probabilities.clone() - Tensor::from_data(chosen, options.clone());
        let of_value = policy.values.clone().reshape([batch, 1]).zeros_like().sub_scalar(self.config.value_weight);
        let error = Tensor::cat(vec![of_policy, of_value], 1);
        state.fade(&network, &chunk, [&outputs, &error.clone().unsqueeze_dim(0), &neurons], self.config.discount);

        let column = |values: Vec<f64>| Tensor::<2>::from_data(TensorData::new(values, [batch, 1]), options.clone());
        let rewards = column(rewards.to_vec());
        let values = policy.values.reshape([batch, 1]);
        if ended.contains(&true) {
            // Nothing comes after the end: δ = r − V.
            let over = column(ended.iter().map(|&ended| f64::from(u8::from(ended))).collect());
            state.reinforce((rewards.clone() - values.clone()) * over.clone());
            let going = over.neg().add_scalar(1.0);
            state.begin_anew(&going);
            // r = 0 and V = γ V of the new episode's start would still not be 0: an episode that ended waits for nothing.
            state.pending = Some([rewards * going.clone(), values * going.clone()]);
            state.going = Some(going);
        } else {
            state.pending = Some([rewards, values]);
        }
    }
}
