//! Episodes side by side: one in each place of a batch, from their starts until all have ended.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_eprop::reward::{ActorCritic, Episode, Outcome, Policy};
use burn_eprop::{Batch, Cell, Estimate, Network};
use eprop_tasks::environments::{Arena, StepResult};
use rand::{Rng, RngExt};

use super::config::RewardSettings;
use crate::task::tensor;

/// What came of some episodes, in the mean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Played {
    /// Sum of an episode's rewards.
    pub(super) reward: f64,
    /// Share of the episodes that were solved.
    pub(super) solved: f64,
    /// Steps of the environment.
    pub(super) steps: f64,
}

impl Played {
    /// Adds a share of other episodes.
    pub(super) fn add(&mut self, other: &Self, share: f64) {
        self.reward += share * other.reward;
        self.solved += share * other.solved;
        self.steps += share * other.steps;
    }
}

/// Environments side by side.
pub(super) struct Places<A> {
    arenas: Vec<A>,
    /// Where an episode is going on.
    going: Vec<bool>,
    played: Played,
}

impl<A: Arena> Places<A> {
    /// Episodes at their starts.
    pub(super) fn new(mut arenas: Vec<A>) -> Self {
        arenas.iter_mut().for_each(A::reset);
        Self { going: vec![true; arenas.len()], arenas, played: Played::default() }
    }

    /// Numbers of an observation, and of outputs, the value's among them.
    pub(super) fn sizes(&self) -> [usize; 2] {
        [self.arenas[0].observations(), self.arenas[0].actions() + 1]
    }

    fn is_over(&self) -> bool {
        !self.going.contains(&true)
    }

    /// What is seen in all places, for so many steps of the network, [batch, time, observations].
    fn observations(&self, shown: usize, device: &Device) -> Tensor<3> {
        let seen: Vec<f32> = self.arenas.iter().flat_map(|arena| arena.state().repeat(shown)).collect();
        let width = self.arenas[0].observations();
        tensor(seen, [self.arenas.len(), shown, width], device)
    }

    /// Acts in all places.
    fn act(&mut self, actions: Vec<usize>) -> Vec<Option<Outcome>> {
        let share = 1.0 / self.arenas.len() as f64;
        let places = self.arenas.iter_mut().zip(&mut self.going).zip(actions);
        let act = |((arena, going), action): ((&mut A, &mut bool), usize)| {
            if !*going {
                return None;
            }
            let StepResult { reward, done, truncated, .. } = arena.step(action);
            let ended = done || truncated;
            *going = !ended;
            self.played.reward += share * reward;
            self.played.steps += share;
            if ended && arena.solved() {
                self.played.solved += share;
            }
            Some(Outcome { action, reward, ended })
        };
        places.map(act).collect()
    }
}

/// Adds −w log π(a) to the reward of each action: in the mean that is the policy's entropy, w times, and actions that are seldom taken are
/// tried again (Williams and Peng 1991, doi:10.1080/09540099108946587).
fn with_entropy(mut outcomes: Vec<Option<Outcome>>, policy: &Policy, weight: f64) -> Vec<Option<Outcome>> {
    if weight == 0.0 {
        return outcomes;
    }
    let actions = policy.probabilities.dims()[1];
    let probabilities: Vec<f64> = policy.probabilities.to_data().iter::<f64>().collect();
    for (outcome, probabilities) in outcomes.iter_mut().zip(probabilities.chunks(actions)) {
        if let Some(Outcome { action, reward, .. }) = outcome {
            *reward -= weight * probabilities[*action].max(f64::MIN_POSITIVE).ln();
        }
    }
    outcomes
}

/// Plays with random actions.
pub(super) fn at_random<A: Arena>(mut places: Places<A>, rng: &mut impl Rng) -> Played {
    let actions = places.arenas[0].actions();
    while !places.is_over() {
        let random = places.arenas.iter().map(|_| rng.random_range(0..actions)).collect();
        places.act(random);
    }
    places.played
}

/// Learns while the episodes go on: every so many steps of the environment, and at the end, `update` is given what was found and
/// returns the network and whether to go on.
pub(super) fn online<A: Arena, C: Cell>(
    mut places: Places<A>,
    agent: &ActorCritic,
    (settings, every): (&RewardSettings, usize),
    mut network: Network<C>,
    rng: &mut impl Rng,
    mut update: impl FnMut(Network<C>, Estimate) -> (Network<C>, bool),
) -> (Network<C>, Played) {
    let device = network.valid().readout.weight.device();
    let mut state = agent.start(&network, places.arenas.len());
    for step in 1.. {
        let seen = places.observations(settings.steps_per_observation, &device);
        let policy = agent.observe(&network, &mut state, seen);
        let outcomes = places.act(policy.sample(rng));
        let outcomes = with_entropy(outcomes, &policy, settings.entropy_weight);
        agent.learn(&network, &mut state, &outcomes);
        if step % every == 0 || places.is_over() {
            let estimate = agent.gradients(&network, &mut state);
            let (updated, goes_on) = update(network, estimate);
            network = updated;
            if !goes_on || places.is_over() {
                break;
            }
        }
    }
    (network, places.played)
}

/// Plays without learning. Returns the episodes as a batch for [`Loss::ActorCritic`](burn_eprop::Loss::ActorCritic).
pub(super) fn whole<A: Arena, C: Cell>(
    mut places: Places<A>,
    settings: &RewardSettings,
    network: &Network<C>,
    rng: &mut impl Rng,
) -> (Batch, Played) {
    let network = network.valid();
    let device = network.readout.weight.device();
    let (count, shown) = (places.arenas.len(), settings.steps_per_observation);
    let width = network.outputs();
    let mut episodes = vec![Episode::default(); count];
    let mut inputs = Vec::new();
    let mut state = network.initial_state(count);
    while !places.is_over() {
        let seen = places.observations(shown, &device);
        let (outputs, after) = network.forward_from(seen.clone(), state);
        state = after;
        inputs.push(seen);
        let last = outputs.narrow(1, shown - 1, 1).reshape([count, width]);
        let policy = Policy::of(&last);
        let values: Vec<f64> = policy.values.to_data().iter::<f64>().collect();
        let outcomes = places.act(policy.sample(rng));
        let outcomes = with_entropy(outcomes, &policy, settings.entropy_weight);
        for ((episode, outcome), value) in episodes.iter_mut().zip(outcomes).zip(values) {
            if let Some(Outcome { action, reward, .. }) = outcome {
                episode.actions.push(action);
                episode.rewards.push(reward);
                episode.values.push(value);
            }
        }
    }
    let steps = inputs.len() * shown;
    let (mut targets, mut mask) = (vec![0.0; count * steps * width], vec![0.0; count * steps]);
    for (place, episode) in episodes.iter().enumerate() {
        let rows = settings.actor_critic().targets(episode, width - 1);
        for (step, row) in rows.chunks(width).enumerate() {
            let at = place * steps + (step + 1) * shown - 1;
            mask[at] = 1.0 / count as f32;
            let target = &mut targets[at * width..][..width];
            target.iter_mut().zip(row).for_each(|(target, &value)| *target = value as f32);
        }
    }
    let lengths = episodes.iter().map(|episode| episode.actions.len() * shown).collect();
    let batch = Batch::new(Tensor::cat(inputs, 1), tensor(targets, [count, steps, width], &device))
        .with_mask(tensor(mask, [count, steps], &device))
        .with_lengths(lengths);
    (batch, places.played)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seldom_done_is_rewarded_more() {
        let outputs = Tensor::<2>::from_data([[3.0_f32.ln(), 0.0, 0.5], [0.0, 0.0, 0.5]], &Device::flex());
        let policy = Policy::of(&outputs);
        let outcome = |action| Some(Outcome { action, reward: 1.0, ended: false });
        let reward = |outcomes: Vec<Option<Outcome>>| -> Vec<f64> {
            let outcomes = with_entropy(outcomes, &policy, 0.5).into_iter();
            outcomes.map(|outcome| outcome.map_or(f64::NAN, |outcome| outcome.reward)).collect()
        };
        let [often, half] = reward(vec![outcome(0), outcome(0)])[..] else { panic!("two places") };
        let [seldom, over] = reward(vec![outcome(1), None])[..] else { panic!("two places") };
        let expected = [0.75_f64, 0.5, 0.25].map(|probability| 1.0 - 0.5 * probability.ln());
        for (found, expected) in [often, half, seldom].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
        assert!(over.is_nan());
    }
}
