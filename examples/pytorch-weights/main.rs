//! A spiking network of snnTorch, loaded by an explicit map: it answers as it did there, and learns on by e-prop.
//!
//! Takes a second; `--quick` stops after a few updates. Another state dict is saved in Python by
//! `safetensors.torch.save_file(network.state_dict(), "network.safetensors")`.

use std::error::Error;
use std::fs::read_to_string;

use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_eprop::cell::LifConfig;
use burn_eprop::estimator::Eprop;
use burn_eprop::interchange::{Source, WeightMap};
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::signal::Symmetric;
use burn_eprop::{Batch, Loss, NetworkConfig, Objective, OptimizerHook};

/// fc1 = nn.Linear(4, 8), lif1 = snntorch.RLeaky(beta=0.9, linear_features=8), fc2 = nn.Linear(8, 2); beside it, what it answered.
const NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/pytorch/snntorch");

fn main() -> Result<(), Box<dyn Error>> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (device, dtype) = (Device::flex().autodiff(), DType::F64);
    let recorded: serde_json::Value = serde_json::from_str(&read_to_string(format!("{NETWORK}.json"))?)?;
    let numbers = |name: &str| serde_json::from_value::<Vec<f64>>(recorded[name].clone());
    let tensor = |values, features| {
        Tensor::<3>::from_data(TensorData::new(values, [2, 20, features]), (&device, dtype))
    };
    let (inputs, answers) = (tensor(numbers("inputs")?, 4), tensor(numbers("outputs")?, 2));

    // snnTorch's β is exp(−dt/τ), its reset is a subtraction one step later, as here, and its readout has no filter.
    let tau_ms = -1.0 / 0.9_f64.ln();
    let cell = LifConfig::new(8).with_tau_membrane_ms(tau_ms.into()).with_threshold(1.0).with_bias(true);
    let readout = LeakyReadoutConfig::new().with_tau_ms(None);
    let config = NetworkConfig::new(4, 2).with_readout(Some(readout));
    let network = config.init(vec![cell.init((&device, dtype))], (&device, dtype));

    // ANCHOR: map
    let map = WeightMap::new()
        .with("layers.0.w_in", Source::new("fc1.weight").transposed())
        .with("layers.0.w_rec", Source::new("lif1.recurrent.weight").transposed())
        .with("layers.0.bias", Source::new("fc1.bias").plus("lif1.recurrent.bias"))
        .with("readout.weight", Source::new("fc2.weight").transposed())
        .with("readout.bias", Source::new("fc2.bias"))
        .keep("feedback")
        .ignore("lif1.beta")
        .ignore("lif1.threshold")
        .ignore("lif1.graded_spikes_factor")
        .ignore("lif1.reset_mechanism_val");
    let mut network = map.load(&network, format!("{NETWORK}.safetensors"))?;
    // ANCHOR_END: map
    let difference = (network.forward(inputs.clone()) - answers.clone()).abs().max().into_scalar::<f64>();
    println!("largest difference to snnTorch's answers: {difference:.1e}");
    assert!(difference < 1e-9, "the answers are others");

    // It is to answer the same with the opposite sign.
    let batch = Batch::new(inputs, answers.neg());
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    let objective = Objective::mean(Loss::MeanSquaredError);
    let mut hook = OptimizerHook::new(optimizer, Eprop::new(objective, Symmetric));
    for update in 1..=if quick { 3 } else { 300 } {
        let (updated, report) = hook.step(1e-2, network, &batch);
        network = updated;
        if quick || update % 50 == 0 {
            println!("{update:>4}  loss {:.4}", report.loss);
        }
    }
    Ok(())
}
