//! e-prop 3: an update after each window, with a synthetic gradient behind it.

// ANCHOR: use
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use burn_eprop::cell::LstmConfig;
use burn_eprop::estimator::{BoundaryLearning, Eprop3};
use burn_eprop::synthetic_gradient::SyntheticGradientConfig;
use burn_eprop::{Batch, Loss, NetworkConfig, Objective, OptimizerHook};
// ANCHOR_END: use

#[test]
fn windows_have_a_synthetic_gradient_behind_them() {
    // ANCHOR: body
    let device = Device::flex().autodiff();
    let network = NetworkConfig::new(10, 9).init(vec![LstmConfig::new(20).init()], &device);
    let mut network = network.with_synthetic_gradient(&SyntheticGradientConfig::new()); // linear; 0 at first

    let learning = BoundaryLearning { lambda: 0.9, discount: 1.0 }; // BP(λ); λ = 0 for none
    let objective = Objective::mean(Loss::SigmoidCrossEntropy);
    let eprop3 = Eprop3::new(objective, 4).with_boundary_learning(learning);
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    let mut hook = OptimizerHook::new(optimizer, eprop3).into_stream(&network, 8);

    let inputs = Tensor::<3>::ones([8, 12, 10], &device); // [batch, time, inputs]
    let targets = Tensor::<3>::zeros([8, 12, 9], &device); // [batch, time, outputs]
    let sequences = Batch::new(inputs, targets);
    let mut losses = Vec::new();
    for start in [0, 4, 8] {
        // An update after each window; state and traces live on.
        let (updated, report) = hook.feed(3e-3, network, &sequences.piece(start..start + 4));
        network = updated;
        losses.push(report.loss);
    }
    // ANCHOR_END: body
    println!("{losses:?}");
    assert!(losses.iter().all(|loss| loss.is_finite()));
    assert!(losses[2] < losses[0], "{losses:?}");
    let module = network.synthetic_gradient.expect("it was added");
    assert!(
        module.output.weight.val().abs().max().into_scalar::<f64>() > 0.0,
        "the module has learnt nothing"
    );
}
