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
use crate::signal::{LearningSignal, SignalContext, decay_weights, register_feedback};
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

/// A whole episode of one agent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Episode {
    /// What was done in each step of the environment.
    pub actions: Vec<usize>,
    /// What each of them brought.
    pub rewards: Vec<f64>,
    /// V before each of them.
    pub values: Vec<f64>,
}

impl ActorCriticConfig {
    /// Targets of [`Loss::ActorCritic`](crate::Loss::ActorCritic) for an episode that has ended, with this many actions to choose from:
    /// [time, actions + 1], row by row. With
    ///
    /// $$ A^s = \sum_{t \ge s} \gamma^{t-s} \delta^t = \sum_{t \ge s} \gamma^{t-s} r^t - V^s $$
    ///
    /// the target of the action that was taken is A, that of the value C_V A, and those of other actions 0: exchanging the sums of
    /// equation 3 of the [module](self) over t, the loss has the gradient Σ_t g^t.
    ///
    /// # Panics
    ///
    /// If the episode has not as many actions, rewards and values, or an action does not exist.
    pub fn targets(&self, episode: &Episode, actions: usize) -> Vec<f64> {
        let Episode { actions: taken, rewards, values } = episode;
        let given = [taken.len(), rewards.len(), values.len()];
        assert_eq!(given, [taken.len(); 3], "actions, rewards and values {given:?} of an episode");
        let mut rows = vec![0.0; taken.len() * (actions + 1)];
        let mut to_come = 0.0;
        for (step, row) in rows.chunks_exact_mut(actions + 1).enumerate().rev() {
            assert!(taken[step] < actions, "action {} of {actions} actions", taken[step]);
            to_come = rewards[step] + self.discount * to_come;
            let advantage = to_come - values[step];
            row[taken[step]] = advantage;
            row[actions] = self.value_weight * advantage;
        }
        rows
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
    /// Until V^{t+1} is known.
    pending: Option<Pending>,
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

/// What is known of a step's δ, each [batch, 1].
#[derive(Debug, Clone)]
struct Pending {
    /// r^t
    rewards: Tensor<2>,
    /// V^t
    values: Tensor<2>,
    /// 1 where the episode goes on, and 0 where it has ended with the step, whose δ has then been, or where there is none.
    going: Tensor<2>,
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
#[derive(Debug, Clone)]
struct Found {
    /// By layer, [pre, currents · post].
    layers: Vec<Tensor<2>>,
    /// Of W_out.
    weight: Tensor<2>,
    /// Of the readout's bias.
    bias: Tensor<1>,
    /// Σ ½ δ² over steps, the mean of the batch.
    loss: f64,
    /// Σ_t of the mean of z over the batch, by layer.
    spikes: Vec<Tensor<1>>,
    /// Steps of the network.
    steps: usize,
}

/// What was done in an episode, and what it brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// a, counted from 0.
    pub action: usize,
    /// r.
    pub reward: f64,
    /// Whether the episode has ended with it.
    pub ended: bool,
}

/// # Panics
///
/// If these are not outcomes of so many places and actions.
fn check(outcomes: &[Option<Outcome>], places: usize, actions: usize) {
    assert_eq!(outcomes.len(), places, "{} outcomes of {places} episodes", outcomes.len());
    for Outcome { action, reward, .. } in outcomes.iter().flatten() {
        assert!(*action < actions, "action {action} of {actions} actions");
        assert!(reward.is_finite(), "a reward of {reward} is not finite");
    }
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

    /// err, [batch, K + 1] (equation 1).
    fn error(&self, outcomes: &[Option<Outcome>], value_weight: f64) -> Tensor<2> {
        let [batch, actions] = self.probabilities.dims();
        let row = |outcome: &Option<Outcome>| {
            let taken = outcome.map(|outcome| outcome.action);
            (0..actions).map(move |action| f64::from(u8::from(Some(action) == taken)))
        };
        let taken = TensorData::new(outcomes.iter().flat_map(row).collect::<Vec<_>>(), [batch, actions]);
        let options = (&self.values.device(), self.values.dtype());
        let of_policy = self.probabilities.clone() - Tensor::from_data(taken, options);
        let of_value = self.values.clone().reshape([batch, 1]).zeros_like().sub_scalar(value_weight);
        Tensor::cat(vec![of_policy, of_value], 1)
    }

    /// π and V of outputs [batch, K + 1].
    ///
    /// # Panics
    ///
    /// If there are less than two outputs, an action and the value.
    pub fn of(outputs: &Tensor<2>) -> Self {
        let [batch, width] = outputs.dims();
        assert!(width >= 2, "{width} outputs, but a policy and a value need at least 2");
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
        assert!(
            signal.speaks_of_outputs(),
            "{signal:?} does not speak of the readout's error, which rewards give"
        );
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
            let faded: Vec<Tensor<3>> = vec![Tensor::zeros(shape, options.clone()); synapses.currents];
            let summed = SummedTraces::PerTrial(Vec::new());
            LayerTraces {
                engine: EligibilityTraces::new(0.0, synapses, summed),
                traces: faded.clone(),
                faded,
            }
        });
        let weight = Tensor::zeros([batch, network.neurons(), outputs], options.clone());
        let bias = Tensor::zeros([batch, outputs], options.clone());
        ActorCriticState {
            initial: network.initial_state(batch),
            network: network.initial_state(batch),
            signal: self.signal.clone(),
            layers: layers.collect(),
            readout: ReadoutTraces { filtered: [None, None], faded: (weight, bias) },
            observed: None,
            pending: None,
            found: Found::new(&network, batch),
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
        if let Some(Pending { rewards, values, going }) = state.pending.take() {
            // Equation 2.
            let next = policy.values.clone().reshape([batch, 1]);
            state.reinforce((rewards + next.mul_scalar(self.config.discount) - values) * going);
        }
        let ones = inputs.clone().narrow(2, 0, 1).ones_like();
        let chunk = BatchChunk {
            targets: outputs.zeros_like(),
            added: None,
            teaching: None,
            mask: ones.clone(),
            weight: ones,
            valid: None,
            inputs,
        };
        state.observed = Some(Observed { chunk, outputs, neurons });
        policy
    }

    /// Takes in what was done after the last observations and what it brought, in each episode. Where one has ended, the next begins
    /// in its place; where there is none, nothing is learnt.
    ///
    /// # Panics
    ///
    /// If nothing was observed, there is not an outcome for each place, an action does not exist, or a reward is not finite.
    pub fn learn<C: Cell>(
        &self,
        network: &Network<C>,
        state: &mut ActorCriticState,
        outcomes: &[Option<Outcome>],
    ) {
        let Observed { chunk, outputs, neurons } =
            state.observed.take().expect("something must be observed before it is learnt from");
        let [_, batch, width] = outputs.dims();
        check(outcomes, batch, width - 1);
        let network = network.valid();
        let options = network.options();
        let column = |value: fn(&Outcome) -> f64| {
            let values = outcomes.iter().map(|outcome| outcome.as_ref().map_or(0.0, value));
            let data = TensorData::new(values.collect::<Vec<_>>(), [batch, 1]);
            Tensor::<2>::from_data(data, options.clone())
        };
        let policy = Policy::of(&outputs.clone().reshape([batch, width]));
        let error = policy.error(outcomes, self.config.value_weight) * column(|_| 1.0);
        let error = error.unsqueeze_dim(0);
        state.fade(&network, &chunk, [&outputs, &error, &neurons], self.config.discount);

        let (rewards, values) = (column(|outcome| outcome.reward), policy.values.reshape([batch, 1]));
        let going = column(|outcome| f64::from(u8::from(!outcome.ended)));
        if outcomes.iter().any(|outcome| outcome.is_none_or(|outcome| outcome.ended)) {
            // Nothing comes after the end: δ = r − V.
            let over = column(|outcome| f64::from(u8::from(outcome.ended)));
            state.reinforce((rewards.clone() - values.clone()) * over);
            state.begin_anew(&going);
        }
        state.pending = Some(Pending { rewards, values, going });
    }

    /// What has come together since the last call, in the mean of the episodes, and the firing rates since then. The loss is ½ δ²
    /// summed over steps.
    ///
    /// The δ of the last step is not in it: it is known when the next step is observed.
    ///
    /// # Panics
    ///
    /// If nothing has been observed since the last call.
    pub fn gradients<C: Cell>(&self, network: &Network<C>, state: &mut ActorCriticState) -> Estimate {
        let found = state.found.take();
        let mut gradients = GradientsParams::new();
        for (layer, gradient) in network.layers.iter().zip(found.layers) {
            layer.register(gradient, &mut gradients);
        }
        register_feedback(state.signal.as_ref(), network, &found.weight, &mut gradients);
        gradients.register(network.readout.weight.id, found.weight);
        if let Some(bias) = &network.readout.bias {
            gradients.register(bias.id, found.bias);
        }
        assert!(found.steps > 0, "nothing has been observed since gradients were taken");
        let rate = |spikes: Tensor<1>| spikes.mul_scalar(1.0 / found.steps as f64);
        Estimate {
            loss: found.loss,
            rate_loss: 0.0,
            outputs: None,
            firing_rates: found.spikes.into_iter().map(rate).collect(),
            gradients,
        }
    }

    /// What the learning signal does to the network after an optimizer has updated it.
    pub fn after_update<C: Cell>(&self, network: Network<C>) -> Network<C> {
        decay_weights(self.signal.as_ref(), network)
    }
}

impl ActorCriticState {
    /// Takes in a step of the network.
    fn advance(&mut self, decay: f64, layers: Vec<LayerChunk>, neurons: &Tensor<3>) {
        for ((layer, of_step), spikes) in self.layers.iter_mut().zip(layers).zip(&mut self.found.spikes) {
            *spikes = spikes.clone() + of_step.outputs.clone().mean_dims(&[0, 1]).reshape([-1]);
            let linearization = of_step.linearization.expect("asked for");
            let chunk =
                Chunk { linearization: &linearization, pre: of_step.pre, signal: None, summed_by: None };
            layer.engine.advance(chunk, true);
            for (trace, e) in layer.traces.iter_mut().zip(layer.engine.take_trial_sums()) {
                *trace = trace.clone().mul_scalar(decay) + e;
            }
        }
        self.found.steps += 1;
        self.time += 1;
        let ones = neurons.clone().narrow(2, 0, 1).ones_like();
        for (filtered, value) in self.readout.filtered.iter_mut().zip([neurons.clone(), ones]) {
            *filtered = Some(low_pass_end(value, decay, filtered.take()));
        }
    }

    /// Lets what was done fade, and adds what was done last.
    fn fade<C: Cell>(
        &mut self,
        network: &Network<C>,
        chunk: &BatchChunk,
        [outputs, error, neurons]: [&Tensor<3>; 3],
        discount: f64,
    ) {
        let context = SignalContext::new(network, chunk, [outputs, error, neurons], self.time - 1..self.time);
        let signal = context.signal(self.signal.as_mut()).mul_scalar(network.readout.factor());
        let mut first = 0;
        for layer in &mut self.layers {
            let neurons = layer.engine.synapses().post;
            // L, [batch, post, 1].
            let signal = signal.clone().narrow(2, first, neurons).permute([1, 2, 0]);
            first += neurons;
            for (faded, trace) in layer.faded.iter_mut().zip(&layer.traces) {
                *faded = faded.clone().mul_scalar(discount) + trace.clone() * signal.clone();
            }
        }
        let error = error.clone().swap_dims(0, 1);
        let [batch, _, width] = error.dims();
        let [neurons, ones] =
            self.readout.filtered.clone().map(|filtered| filtered.expect("a step was observed"));
        let (weight, bias) = &mut self.readout.faded;
        let outer = neurons.unsqueeze_dim::<3>(2) * error.clone();
        *weight = weight.clone().mul_scalar(discount) + outer.mul_scalar(network.readout.factor());
        *bias = bias.clone().mul_scalar(discount) + error.reshape([batch, width]) * ones;
    }

    /// Adds what an error δ [batch, 1] makes of the faded traces (equation 3).
    fn reinforce(&mut self, error: Tensor<2>) {
        let [batch, _] = error.dims();
        let share = error.clone().mul_scalar(1.0 / batch as f64);
        let each = share.clone().unsqueeze_dim::<3>(2);
        for (layer, found) in self.layers.iter().zip(&mut self.found.layers) {
            let of_current =
                |faded: &Tensor<3>| (faded.clone() * each.clone()).sum_dim(0).squeeze_dim::<2>(0).transpose();
            let gradient = Tensor::cat(layer.faded.iter().map(of_current).collect(), 1);
            *found = found.clone() + gradient;
        }
        let (weight, bias) = &self.readout.faded;
        self.found.weight = self.found.weight.clone() + (weight.clone() * each).sum_dim(0).squeeze_dim(0);
        self.found.bias = self.found.bias.clone() + (bias.clone() * share).sum_dim(0).squeeze_dim(0);
        let squared = (error.clone() * error).mean().into_scalar::<f64>();
        self.found.loss += 0.5 * squared;
    }

    /// Begins new episodes where `going`, [batch, 1], is 0 and not 1.
    fn begin_anew(&mut self, going: &Tensor<2>) {
        let each = going.clone().unsqueeze_dim::<3>(2);
        self.network = self.network.choose(&self.initial, going);
        for layer in &mut self.layers {
            layer.engine.multiply_sequences(going);
            for trace in layer.traces.iter_mut().chain(&mut layer.faded) {
                *trace = trace.clone() * each.clone();
            }
        }
        for filtered in self.readout.filtered.iter_mut().flatten() {
            *filtered = filtered.clone() * going.clone();
        }
        let (weight, bias) = &mut self.readout.faded;
        *weight = weight.clone() * each;
        *bias = bias.clone() * going.clone();
    }
}

impl Found {
    /// Nothing yet.
    fn new<C: Cell>(network: &Network<C>, batch: usize) -> Self {
        let options = network.options();
        let zeros = |shape: [usize; 2]| Tensor::zeros(shape, options.clone());
        let layers = network.layers.iter();
        Self {
            layers: layers.clone().map(|layer| zeros(layer.synapses(batch).matrix())).collect(),
            weight: zeros([network.neurons(), network.outputs()]),
            bias: Tensor::zeros([network.outputs()], options.clone()),
            loss: 0.0,
            spikes: layers.map(|layer| Tensor::zeros([layer.cell.neurons()], options.clone())).collect(),
            steps: 0,
        }
    }

    /// What was found, and nothing in its place.
    fn take(&mut self) -> Self {
        let nothing = Self {
            layers: self.layers.iter().map(Tensor::zeros_like).collect(),
            weight: self.weight.zeros_like(),
            bias: self.bias.zeros_like(),
            loss: 0.0,
            spikes: self.spikes.iter().map(Tensor::zeros_like).collect(),
            steps: 0,
        };
        std::mem::replace(self, nothing)
    }
}
