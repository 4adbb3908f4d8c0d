//! The actor-critic.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use super::policy::check;
use super::state::{Observed, Pending};
use super::{ActorCriticConfig, ActorCriticState, Outcome, Policy};
use crate::autodiff::forget_replaced_weights;
use crate::batch::BatchChunk;
use crate::cell::Cell;
use crate::error::expect_valid;
use crate::estimator::Estimate;
use crate::network::{Network, NetworkChunk, Purpose};
use crate::readout::ReadoutGradient;
use crate::signal::{LearningSignal, decay_weights, register_feedback};

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

impl ActorCritic {
    /// Reward-based e-prop with this learning signal.
    ///
    /// # Panics
    ///
    /// If the configuration is not [valid](ActorCriticConfig::validate), or the signal does not speak of the readout's error.
    #[track_caller]
    pub fn new(config: ActorCriticConfig, signal: impl LearningSignal + 'static) -> Self {
        Self::boxed(config, Box::new(signal))
    }

    /// As [`new`](Self::new), for a signal chosen at run time.
    ///
    /// # Panics
    ///
    /// If the configuration is not [valid](ActorCriticConfig::validate), or the signal does not speak of the readout's error.
    #[track_caller]
    pub fn boxed(config: ActorCriticConfig, signal: Box<dyn LearningSignal>) -> Self {
        expect_valid("ActorCriticConfig", config.validate());
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
    #[track_caller]
    pub fn start<C: Cell>(&self, network: &Network<C>, batch: usize) -> ActorCriticState {
        ActorCriticState::new(&network.valid(), batch, self.signal.clone())
    }

    /// Shows observations [batch, time, inputs] to the network, one step of the environment in one or several of the network, and
    /// returns what it would do after the last of them.
    ///
    /// # Panics
    ///
    /// If the observations do not fit network and state, or what was observed before has not been
    /// [learnt](Self::learn) from.
    #[track_caller]
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
    #[track_caller]
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
    #[track_caller]
    pub fn gradients<C: Cell>(&self, network: &Network<C>, state: &mut ActorCriticState) -> Estimate {
        forget_replaced_weights(network);
        let found = state.found.take();
        let mut gradients = GradientsParams::new();
        for (layer, gradient) in network.layers.iter().zip(found.layers) {
            layer.register(gradient, &mut gradients);
        }
        register_feedback(state.signal.as_ref(), network, &found.weight, &mut gradients);
        ReadoutGradient { weight: found.weight, bias: found.bias }.register(&network.readout, &mut gradients);
        assert!(found.steps > 0, "nothing has been observed since gradients were taken");
        let rate = |spikes: Tensor<1>| spikes.mul_scalar(1.0 / found.steps as f64);
        Estimate {
            loss: found.loss,
            rate_loss: 0.0,
            voltage_loss: 0.0,
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
