//! Rewards: two levers, of which the second pays.

// ANCHOR: use
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use burn_eprop::NetworkConfig;
use burn_eprop::cell::LstmConfig;
use burn_eprop::reward::{ActorCritic, ActorCriticConfig, Outcome};
use burn_eprop::signal::Symmetric;
use rand::SeedableRng;
// ANCHOR_END: use

#[test]
fn the_lever_that_pays_is_pulled() {
    // ANCHOR: body
    let device = Device::flex().autodiff();
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    // Three inputs; two actions and the value.
    let mut network = NetworkConfig::new(3, 3).init(vec![LstmConfig::new(20).init()], &device);
    let mut optimizer: ModuleOptimizer = AdamConfig::new().init();

    let agent = ActorCritic::new(ActorCriticConfig::default(), Symmetric);
    let mut state = agent.start(&network, 16); // sixteen episodes side by side
    for _ in 0..200 {
        let seen = Tensor::<3>::ones([16, 1, 3], &device); // [batch, time, inputs]
        let policy = agent.observe(&network, &mut state, seen);
        // The second of two levers pays; each pull is an episode.
        let outcomes: Vec<_> = policy
            .sample(&mut rng)
            .into_iter()
            .map(|action| Some(Outcome { action, reward: action as f64, ended: true }))
            .collect();
        agent.learn(&network, &mut state, &outcomes);
        let estimate = agent.gradients(&network, &mut state);
        network = optimizer.step(2e-2, network, estimate.gradients);
    }
    let policy = agent.observe(&network, &mut state, Tensor::<3>::ones([16, 1, 3], &device));
    // ANCHOR_END: body
    let pays = policy.probabilities.narrow(1, 1, 1).min().into_scalar::<f64>();
    println!("{pays}");
    assert!(pays > 0.9, "the second lever is pulled with a probability of {pays}");
}
