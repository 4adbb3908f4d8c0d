//! A task of memory: which of two groups of inputs fired first?

use burn::data::dataloader::batcher::Batcher;
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::Batch;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const STEPS: usize = 150;
/// In two groups.
pub(crate) const INPUTS: usize = 20;

/// Makes the sequence of each seed.
#[derive(Clone)]
pub(crate) struct Recall;

impl Batcher<u64, Batch> for Recall {
    fn batch(&self, seeds: Vec<u64>, device: &Device) -> Batch {
        let size = seeds.len();
        let (mut inputs, mut targets) =
            (vec![0.0_f32; size * STEPS * INPUTS], vec![0.0_f32; size * STEPS * 2]);
        for (sequence, seed) in seeds.into_iter().enumerate() {
            let mut rng = StdRng::seed_from_u64(seed);
            let first = usize::from(rng.random_bool(0.5));
            for step in 0..STEPS {
                let row = sequence * STEPS + step;
                targets[row * 2 + first] = 1.0;
                let group = if step < STEPS / 3 {
                    Some(first)
                } else if step < 2 * STEPS / 3 {
                    Some(1 - first)
                } else {
                    None
                };
                for input in 0..INPUTS {
                    let fires = group == Some(input / (INPUTS / 2)) && rng.random_bool(0.05);
                    inputs[row * INPUTS + input] = f32::from(fires);
                }
            }
        }
        let tensor =
            |values, features| Tensor::from_data(TensorData::new(values, [size, STEPS, features]), device);
        let mask = (0..size * STEPS).map(|row| f32::from(row % STEPS >= STEPS - 20)).collect::<Vec<_>>();
        let batch = Batch::new(tensor(inputs, INPUTS), tensor(targets, 2));
        batch.with_mask(Tensor::from_data(TensorData::new(mask, [size, STEPS]), device))
    }
}
