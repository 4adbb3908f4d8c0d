//! Reward-based e-prop: faded traces times temporal-difference errors, against losses of whole episodes.

use burn::tensor::Device;
use burn::tensor::Tensor;
use burn_eprop::estimator::Eprop;
use burn_eprop::reward::{ActorCritic, ActorCriticConfig, Episode, Outcome};
use burn_eprop::signal::{Adaptive, LearningSignal, Random, Symmetric};
use burn_eprop::{Batch, Cell, GradientEstimator, Loss, Network, Objective};
use eprop_tests::case::{Build, Case, Problem, float64, tensor};
use eprop_tests::findings::{Findings, assert_same_gradients, values};
use eprop_tests::for_every_cell;
use rand::RngExt;
use rand::rngs::StdRng;

const CONFIG: ActorCriticConfig = ActorCriticConfig { discount: 0.93, value_weight: 0.7 };

for_every_cell!(whole_episodes);
for_every_cell!(episodes_that_follow_each_other: lif, alif, lstm);

/// Episodes side by side: what was seen, done and received.
struct Played {
    /// [batch, steps of the network, inputs]
    observations: Tensor<3>,
    episodes: Vec<Episode>,
}

/// Plays episodes of so many steps of the environment, each shown for `shown` steps of the network, with a random
/// policy. Weights do not change.
fn play<C: Cell>(problem: &Problem<C>, shown: usize, rng: &mut StdRng) -> Played {
    let [batch, steps, _] = problem.batch.inputs().dims();
    let outputs = problem.network.outputs();
    let y = values(&problem.network.forward(problem.batch.inputs().clone()));
    let episode = |sequence: usize| {
        let decisions = (0..steps / shown).map(|step| (step + 1) * shown - 1);
        let value = |step: usize| y[(sequence * steps + step) * outputs + outputs - 1];
        let values: Vec<f64> = decisions.map(value).collect();
        Episode {
            actions: values.iter().map(|_| rng.random_range(0..outputs - 1)).collect(),
            rewards: values.iter().map(|_| rng.random_range(-1.0..1.0)).collect(),
            values,
        }
    };
    Played { observations: problem.batch.inputs().clone(), episodes: (0..batch).map(episode).collect() }
}

/// The gradient of whole episodes by the loss, for any estimator.
fn by_the_loss<C: Cell>(
    network: &Network<C>,
    played: &Played,
    shown: usize,
    estimator: &mut impl GradientEstimator<C>,
) -> Findings {
    let [batch, steps, _] = played.observations.dims();
    let outputs = network.outputs();
    let options = network.options();
    let (mut targets, mut mask) = (Vec::new(), Vec::new());
    for episode in &played.episodes {
        for row in CONFIG.targets(episode, outputs - 1).chunks(outputs) {
            targets.extend(vec![0.0; (shown - 1) * outputs]);
            targets.extend_from_slice(row);
            mask.extend(vec![0.0; shown - 1]);
            // The mean of the episodes.
            mask.push(1.0 / batch as f64);
        }
    }
    let targets = tensor(targets, [batch, steps, outputs], &options);
    let batch =
        Batch::new(played.observations.clone(), targets).with_mask(tensor(mask, [batch, steps], &options));
    Findings::new(network, &estimator.estimate(network, &batch))
}

/// The same online, in pieces between which gradients are taken.
fn online<C: Cell>(
    network: &Network<C>,
    played: &Played,
    [shown, every]: [usize; 2],
    agent: &ActorCritic,
) -> Findings {
    let batch = played.episodes.len();
    let mut state = agent.start(network, batch);
    let steps = played.episodes[0].actions.len();
    let mut all: Option<Findings> = None;
    for step in 0..steps {
        let observations = played.observations.clone().narrow(1, step * shown, shown);
        let policy = agent.observe(network, &mut state, observations);
        let of_step = |value: fn(&Episode, usize) -> f64| -> Vec<f64> {
            played.episodes.iter().map(|episode| value(episode, step)).collect()
        };
        let (found, expected) = (values(&policy.values), of_step(|episode, step| episode.values[step]));
        assert!(found.iter().zip(&expected).all(|(v, expected)| (v - expected).abs() < 1e-10));
        agent.learn(network, &mut state, &outcomes(played, step, &vec![step + 1 == steps; batch]));
        if (step + 1) % every == 0 || step + 1 == steps {
            let found = Findings::new(network, &agent.gradients(network, &mut state));
            match &mut all {
                Some(all) => all.add_piece(found),
                None => all = Some(found),
            }
        }
    }
    all.expect("there is a step")
}

/// What was done in a step and brought, and where an episode ends with it.
fn outcomes(played: &Played, step: usize, ended: &[bool]) -> Vec<Option<Outcome>> {
    let outcome = |(episode, &ended): (&Episode, &bool)| {
        Some(Outcome { action: episode.actions[step], reward: episode.rewards[step], ended })
    };
    played.episodes.iter().zip(ended).map(outcome).collect()
}

/// Sums of δ F_γ(L ē) over an episode are the gradient of its loss, for every cell, stacked layers, filters and signals, and for
/// gradients that are taken at any time.
fn whole_episodes<C: Cell>(build: Build<C>) {
    for (seed, neurons, tau_out_ms, shown) in [
        (1, vec![6], Some(5.0), 1),
        (2, vec![5, 4], None, 1),
        (3, vec![6], Some(4.0), 3),
        (4, vec![6], None, 4),
    ] {
        let case = Case { neurons, tau_out_ms, normalized_readout: seed == 3, ..Case::new(seed) };
        let problem = Problem::new(&case, build, &float64(&Device::flex()));
        let played = play(&problem, shown, &mut case.rng(7));
        let signals: [Box<dyn LearningSignal>; 3] =
            [Box::new(Symmetric), Box::new(Random), Box::new(Adaptive::new(1e-3).expect("a decay"))];
        for signal in signals {
            let objective = Objective::sum(Loss::ActorCritic);
            let mut eprop = Eprop::boxed(objective, signal.clone()).with_chunk(5);
            let expected = by_the_loss(&problem.network, &played, shown, &mut eprop);
            expected.assert_active::<C>();
            let agent = ActorCritic::boxed(CONFIG, signal);
            for every in [1, 5, usize::MAX] {
                let found = online(&problem.network, &played, [shown, every], &agent);
                assert_same_gradients("online", &found.gradients, &expected.gradients, 1e-10);
            }
        }
    }
}

/// An episode that begins where another has ended is as one that begins alone.
fn episodes_that_follow_each_other<C: Cell>(build: Build<C>) {
    let case = Case { batch: 2, ..Case::new(11) };
    let problem = Problem::new(&case, build, &float64(&Device::flex()));
    let (network, agent) = (&problem.network, ActorCritic::new(CONFIG, Symmetric));
    let played = play(&problem, 1, &mut case.rng(8));
    // In the first place episodes end after 5 steps and after 11, in the second after 11.
    let ends = |step: usize| [[5, 11].contains(&(step + 1)), step + 1 == 11];
    let mut state = agent.start(network, 2);
    for step in 0..11 {
        agent.observe(network, &mut state, played.observations.clone().narrow(1, step, 1));
        agent.learn(network, &mut state, &outcomes(&played, step, &ends(step)));
    }
    let together = Findings::new(network, &agent.gradients(network, &mut state));

    let mut apart: Option<Findings> = None;
    for (sequence, part) in [(0, 0..5), (0, 5..11), (1, 0..11)] {
        let observations =
            played.observations.clone().narrow(0, sequence, 1).narrow(1, part.start, part.len());
        let alone = Problem {
            batch: Batch::new(observations.clone(), zeros(&observations, network)),
            ..problem.clone()
        };
        let mut episode = play(&alone, 1, &mut case.rng(9)).episodes.remove(0);
        let whole = &played.episodes[sequence];
        episode.actions = whole.actions[part.clone()].to_vec();
        episode.rewards = whole.rewards[part].to_vec();
        let found =
            online(network, &Played { observations, episodes: vec![episode] }, [1, usize::MAX], &agent);
        match &mut apart {
            Some(apart) => apart.add_piece(found),
            None => apart = Some(found),
        }
    }
    let mut apart = apart.expect("there are episodes");
    // The mean of two episodes side by side.
    apart.gradients.values_mut().flatten().for_each(|value| *value /= 2.0);
    assert_same_gradients("side by side", &together.gradients, &apart.gradients, 1e-10);
}

/// In a place whose episode has ended, and where none follows, nothing more is learnt.
#[test]
fn places_without_an_episode_learn_nothing() {
    let case = Case { batch: 2, ..Case::new(12) };
    let problem = Problem::new(&case, eprop_tests::cells::alif, &float64(&Device::flex()));
    let (network, agent) = (&problem.network, ActorCritic::new(CONFIG, Symmetric));
    let played = play(&problem, 1, &mut case.rng(8));
    // The second place ends after five steps; the first goes on to the tenth.
    let found = |steps: usize, all: bool| {
        let mut state = agent.start(network, 2);
        for step in 0..steps {
            agent.observe(network, &mut state, played.observations.clone().narrow(1, step, 1));
            let mut outcomes = outcomes(&played, step, &[step == 9, step == 4]);
            if step > 4 {
                outcomes[1] = None;
            }
            if !all {
                outcomes[0] = None;
            }
            agent.learn(network, &mut state, &outcomes);
        }
        Findings::new(network, &agent.gradients(network, &mut state))
    };
    let (at_its_end, later) = (found(5, false), found(10, false));
    assert_same_gradients("after its end", &later.gradients, &at_its_end.gradients, 1e-12);
    // Each place adds its own part.
    let mut parts = found(10, true);
    for (name, values) in &mut parts.gradients {
        values.iter_mut().zip(&later.gradients[name]).for_each(|(all, second)| *all -= second);
    }
    let alone = |place: usize| {
        let mut state = agent.start(network, 1);
        for step in 0..10 {
            let seen = played.observations.clone().narrow(0, place, 1).narrow(1, step, 1);
            agent.observe(network, &mut state, seen);
            agent.learn(network, &mut state, &outcomes(&played, step, &[step == 9, false])[..1]);
        }
        Findings::new(network, &agent.gradients(network, &mut state))
    };
    parts.gradients.values_mut().flatten().for_each(|value| *value *= 2.0);
    assert_same_gradients("beside another", &parts.gradients, &alone(0).gradients, 1e-10);
}

fn zeros<C: Cell>(observations: &Tensor<3>, network: &Network<C>) -> Tensor<3> {
    let [batch, steps, _] = observations.dims();
    Tensor::zeros([batch, steps, network.outputs()], network.options())
}

#[test]
fn rewards_count_from_where_they_come_back_to_what_they_followed() {
    let config = ActorCriticConfig { discount: 0.5, value_weight: 2.0 };
    let episode = Episode { actions: vec![1, 0], rewards: vec![1.0, 4.0], values: vec![0.25, 1.0] };
    // A¹ = 4 − 1; A⁰ = 1 + 0.5 · 4 − 0.25.
    assert_eq!(config.targets(&episode, 2), [0.0, 2.75, 5.5, 3.0, 0.0, 6.0]);
}

#[test]
fn actions_are_drawn_by_their_probabilities() {
    let case = Case { batch: 1, ..Case::new(5) };
    let problem = Problem::new(&case, eprop_tests::cells::lif, &float64(&Device::flex()));
    let agent = ActorCritic::new(CONFIG, Symmetric);
    let mut state = agent.start(&problem.network, 1);
    let policy = agent.observe(&problem.network, &mut state, problem.batch.inputs().clone());
    let probabilities = values(&policy.probabilities);
    let (mut counts, mut rng) = ([0.0; 2], case.rng(6));
    (0..20_000).for_each(|_| counts[policy.sample(&mut rng)[0]] += 1.0 / 20_000.0);
    for (count, probability) in counts.iter().zip(&probabilities) {
        assert!((count - probability).abs() < 0.02, "{counts:?} of {probabilities:?}");
    }
    let best = policy.best()[0];
    assert!(probabilities.iter().all(|&probability| probability <= probabilities[best]));
}

#[test]
#[should_panic(expected = "1 outcomes of 2 episodes")]
fn each_episode_has_an_outcome() {
    let case = Case { batch: 2, ..Case::new(5) };
    let problem = Problem::new(&case, eprop_tests::cells::lif, &float64(&Device::flex()));
    let agent = ActorCritic::new(CONFIG, Symmetric);
    let mut state = agent.start(&problem.network, 2);
    agent.observe(&problem.network, &mut state, problem.batch.inputs().clone());
    agent.learn(&problem.network, &mut state, &[None]);
}

#[test]
#[should_panic(expected = "discount")]
fn a_discount_out_of_range_is_refused() {
    let _ = ActorCritic::new(ActorCriticConfig { discount: 1.5, value_weight: 1.0 }, Symmetric);
}
