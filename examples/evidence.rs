//! Evidence accumulation in a fraction of its usual time: which side had more cues?

use burn::tensor::{Device, Tensor, TensorData};
use eprop_tasks::evidence_accumulation::EvidenceAccumulationConfig;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::Trials;

/// A source of trials.
#[derive(Debug)]
pub struct Evidence {
    config: EvidenceAccumulationConfig,
    device: Device,
    rng: StdRng,
}

impl Evidence {
    /// Trials of an odd number of cues whose times are those of the paper, divided by `shortened`, with cues at a higher rate.
    pub fn new(cues: usize, shortened: usize, seed: u64, device: &Device) -> Self {
        let paper = EvidenceAccumulationConfig::default();
        let config = EvidenceAccumulationConfig {
            cues,
            cue_ms: paper.cue_ms / shortened,
            pause_ms: paper.pause_ms / shortened,
            delay_ms: paper.delay_ms / shortened,
            recall_ms: paper.recall_ms / shortened,
            cue_hz: 100.0,
            ..paper
        };
        Self { config, device: device.clone(), rng: StdRng::seed_from_u64(seed) }
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.config.inputs()
    }

    /// The next trials.
    pub fn draw(&mut self, trials: usize) -> Trials {
        let (steps, recall) = (self.config.steps(), self.config.recall_ms);
        let drawn = self.config.draw(trials, &mut self.rng);
        let asked = (0..steps).map(|step| f32::from(u8::from(step >= steps - recall)));
        let asked = asked.collect::<Vec<_>>().repeat(trials);
        let side = |&side: &usize| [[1.0f32, 0.0], [0.0, 1.0]][side].repeat(steps);
        let targets: Vec<f32> = drawn.sides.iter().flat_map(side).collect();
        let tensor = |values, features| {
            Tensor::from_data(TensorData::new(values, [trials, steps, features]), &self.device)
        };
        Trials {
            inputs: tensor(drawn.inputs, self.config.inputs()),
            targets: tensor(targets, 2),
            mask: tensor(asked, 1).squeeze_dim(2),
        }
    }
}
