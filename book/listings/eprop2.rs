//! e-prop 2: an outer loop that learns to teach.

// ANCHOR: use
use burn::module::Module;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use burn_eprop::cell::LifConfig;
use burn_eprop::estimator::Eprop;
use burn_eprop::meta::{MetaLearner, OneShot};
use burn_eprop::signal::Learned;
use burn_eprop::{Batch, GradientEstimator, Loss, NetworkConfig, Objective};
// ANCHOR_END: use

#[test]
fn an_error_module_learns_to_teach() {
    // ANCHOR: body
    let device = Device::flex().autodiff();
    let lif = |neurons| LifConfig::new(neurons).with_threshold(0.4).init(&device);
    let learner = NetworkConfig::new(4, 1).init(vec![lif(20)], &device);
    // 3 values of the target, 20 neurons and 4 inputs of the learner in; a signal for each of the 20 neurons out.
    let module = NetworkConfig::new(3 + 20 + 4, 20).init(vec![lif(15)], &device);
    let mut meta = MetaLearner::new(learner, module, 1e-2);

    let objective = Objective::sum(Loss::MeanSquaredError);
    let one_shot = OneShot::new(objective);
    let mut optimizer: ModuleOptimizer = AdamConfig::new().init();
    let ones = |tasks, values| Tensor::<3>::ones([tasks, 50, values], &Device::flex()); // [batch, time, values]
    let mut losses = Vec::new();
    for _ in 0..20 {
        // 8 tasks, which a real outer loop draws anew in each iteration.
        let targets = ones(8, 1);
        let training = Batch::new(ones(8, 4), targets.clone()).with_teaching(ones(8, 3));
        let of_test = |outputs: Tensor<3>| (outputs - targets).square().mean();
        let found = one_shot.estimate(&meta, &training, ones(8, 4), of_test);
        losses.push(found.loss); // after one update of each task
        meta = optimizer.step(4e-3, meta, found.gradients);
    }

    // What the module has learned to say is a learning signal as any other, in a stream too.
    let mut eprop = Eprop::new(objective, Learned::new(&meta.module));
    let task = Batch::new(ones(1, 4), ones(1, 1)).with_teaching(ones(1, 3));
    let update = eprop.estimate(&meta.learner.valid(), &task).gradients;
    // ANCHOR_END: body
    println!("{losses:?}");
    assert!(losses.iter().all(|loss| loss.is_finite()));
    assert!(losses[19] < 0.5 * losses[0], "{losses:?}");
    let of_inputs = update.get::<2>(meta.learner.layers[0].w_in.id).expect("e-prop changes input weights");
    assert!(of_inputs.abs().max().into_scalar::<f64>() > 0.0);
}
