//! Which of four tones is it? Waves of four periods in noise.

use std::f32::consts::TAU;

use burn::tensor::{Device, Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::Trials;

/// The tones' periods in steps.
pub const PERIODS: [f32; 4] = [5.0, 7.0, 10.0, 14.0];

const STEPS: usize = 60;
/// The last steps, at which the network is asked.
const ASKED: usize = 20;

/// A source of tones.
#[derive(Debug)]
pub struct Tones {
    device: Device,
    rng: StdRng,
}

impl Tones {
    /// Tones of random phases.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { device: device.clone(), rng: StdRng::seed_from_u64(seed) }
    }

    /// The next tones, one value a step.
    pub fn draw(&mut self, trials: usize) -> Trials {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..trials {
            let class = self.rng.random_range(0..PERIODS.len());
            let phase: f32 = self.rng.random_range(0.0..TAU);
            for step in 0..STEPS {
                let noise: f32 = self.rng.random_range(-1.0..1.0);
                inputs.push((TAU * step as f32 / PERIODS[class] + phase).sin() + noise);
                targets.extend((0..PERIODS.len()).map(|other| f32::from(u8::from(other == class))));
            }
        }
        let asked = (0..trials * STEPS).map(|row| f32::from(u8::from(row % STEPS >= STEPS - ASKED)));
        let tensor = |values, features| {
            Tensor::from_data(TensorData::new(values, [trials, STEPS, features]), &self.device)
        };
        Trials {
            inputs: tensor(inputs, 1),
            targets: tensor(targets, PERIODS.len()),
            mask: tensor(asked.collect(), 1).squeeze_dim(2),
        }
    }
}
