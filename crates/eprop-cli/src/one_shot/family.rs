//! Families of tasks: what a batch of them is, and how well they are done.

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::Batch;
use eprop_tasks::arm_reaching::{ArmReachingConfig, Movements, cartesian_error};
use eprop_tasks::population_code::PopulationCode;
use eprop_tasks::sine_regression::{SineRegressionConfig, Sines};

use super::config::{OneShotConfig, OneShotTask, Sight, Teacher};
use crate::random::{Stream, generator};

/// A family of tasks.
#[derive(Debug, Clone)]
pub(super) struct Family {
    kind: Kind,
    sees: Sight,
    velocity_weight: f64,
}

#[derive(Debug, Clone)]
enum Kind {
    Arm(ArmReachingConfig),
    Sine(SineRegressionConfig),
}

/// Tasks, one a sequence.
#[derive(Debug)]
pub(super) struct Tasks {
    /// The training trial.
    pub(super) training: Batch,
    /// Inputs of the test trial, [batch, time, inputs].
    pub(super) test_inputs: Tensor<3>,
    /// The outputs that would be right, [batch, time, outputs].
    pub(super) targets: Tensor<3>,
    /// What the outputs are to bring about, [batch, time, 1 or 2].
    pub(super) goals: Tensor<3>,
}

/// Tasks by which errors without learning are measured.
pub(super) const BASELINE_TASKS: usize = 2000;

impl Family {
    pub(super) fn new(config: &OneShotConfig) -> Result<Self> {
        let kind = match config.task {
            OneShotTask::ArmReaching => {
                Kind::Arm(config.arm_reaching.clone().context("the settings lack [arm_reaching]")?)
            }
            OneShotTask::SineRegression => {
                Kind::Sine(config.sine_regression.clone().context("the settings lack [sine_regression]")?)
            }
        };
        Ok(Self { kind, sees: config.update.sees, velocity_weight: config.velocity_weight })
    }

    /// Number of the learner's inputs, the clock's.
    pub(super) fn inputs(&self) -> usize {
        match &self.kind {
            Kind::Arm(arm) => arm.clock.inputs(),
            Kind::Sine(sine) => sine.clock.inputs(),
        }
    }

    /// Steps of a trial.
    pub(super) fn steps(&self) -> usize {
        match &self.kind {
            Kind::Arm(arm) => arm.steps,
            Kind::Sine(sine) => sine.steps,
        }
    }

    /// Number of the learner's outputs.
    pub(super) fn outputs(&self) -> usize {
        match &self.kind {
            Kind::Arm(_) => 2,
            Kind::Sine(_) => 1,
        }
    }

    /// Number of values by which the error module sees the target.
    pub(super) fn code(&self) -> usize {
        match &self.kind {
            Kind::Arm(arm) => 2 * arm.code.units,
            Kind::Sine(sine) => sine.code.units,
        }
    }

    /// Draws tasks, which follow from seed, number and their count: for each number others.
    pub(super) fn draw(
        &self,
        tasks: usize,
        seed: u64,
        number: u64,
        teacher: Teacher,
        device: &Device,
    ) -> Tasks {
        let mut rng = generator(seed, Stream::Training, number);
        let (clock, drawn) = match &self.kind {
            Kind::Arm(arm) => (arm.clock(), Drawn::of_arm(arm.draw(tasks, &mut rng), arm, self.sees)),
            Kind::Sine(sine) => (sine.clock(), Drawn::of_sines(sine.draw(tasks, &mut rng))),
        };
        let steps = drawn.steps;
        let tensor = |values: Vec<f32>| {
            let features = values.len() / (tasks * steps);
            Tensor::<3>::from_data(TensorData::new(values, [tasks, steps, features]), device)
        };
        let inputs = tensor(clock.repeat(tasks));
        let targets = tensor(drawn.targets);
        let seen = drawn.observed.map_or_else(|| targets.clone(), tensor);
        let mut code = tensor(drawn.code);
        if teacher == Teacher::Shuffled {
            code = code.roll_dim(1, 0);
        }
        Tasks {
            training: Batch::new(inputs.clone(), seen).with_teaching(code),
            test_inputs: inputs,
            targets,
            goals: tensor(drawn.goals),
        }
    }

    /// Errors that can be had without learning, by name.
    pub(super) fn baselines(&self, seed: u64) -> Vec<(&'static str, f64)> {
        let mut rng = generator(seed, Stream::Training, 0);
        // Nobody looks at the code.
        let few = |code: &PopulationCode| PopulationCode { units: 2, ..code.clone() };
        match &self.kind {
            Kind::Arm(arm) => {
                let code = few(&arm.code);
                let drawn = ArmReachingConfig { code, ..arm.clone() }.draw(BASELINE_TASKS, &mut rng);
                vec![
                    ("arm_at_rest", drawn.error_at_rest()),
                    ("mean_position", drawn.error_of_mean_position()),
                    ("mean_trajectory", drawn.error_of_mean_trajectory()),
                ]
            }
            Kind::Sine(sine) => {
                let code = few(&sine.code);
                let drawn = SineRegressionConfig { code, ..sine.clone() }.draw(BASELINE_TASKS, &mut rng);
                vec![("zero", drawn.error_of_zero()), ("mean", drawn.error_of_mean())]
            }
        }
    }

    /// What the outer loop minimises, of outputs [batch, time, outputs].
    pub(super) fn loss(&self, outputs: Tensor<3>, tasks: &Tasks) -> Tensor<1> {
        let goal = self.error(self.achieved(outputs.clone()), tasks);
        match self.kind {
            Kind::Arm(_) => {
                let difference = outputs - tasks.targets.clone();
                let velocity = (difference.clone() * difference).mean();
                (velocity.mul_scalar(self.velocity_weight) + goal).mul_scalar(0.5)
            }
            Kind::Sine(_) => goal.mul_scalar(0.5),
        }
    }

    /// What outputs bring about, [batch, time, 1 or 2]: the arm's positions, or themselves.
    pub(super) fn achieved(&self, outputs: Tensor<3>) -> Tensor<3> {
        match &self.kind {
            Kind::Arm(arm) => arm.positions(outputs),
            Kind::Sine(_) => outputs,
        }
    }

    /// What an error-driven signal sees, where that is not the outputs' error: the arm's position.
    pub(super) fn seen_positions(&self) -> Option<&ArmReachingConfig> {
        match &self.kind {
            Kind::Arm(arm) if self.sees == Sight::ObservedPosition => Some(arm),
            _ => None,
        }
    }

    /// The mean square error of what was achieved.
    pub(super) fn error(&self, achieved: Tensor<3>, tasks: &Tasks) -> Tensor<1> {
        cartesian_error(achieved, tasks.goals.clone())
    }
}

/// Drawn tasks of any kind, values in the order [task, time, feature].
struct Drawn {
    targets: Vec<f32>,
    observed: Option<Vec<f32>>,
    goals: Vec<f32>,
    code: Vec<f32>,
    steps: usize,
}

impl Drawn {
    fn of_arm(movements: Movements, arm: &ArmReachingConfig, sees: Sight) -> Self {
        let observed = match sees {
            Sight::Outputs => None,
            Sight::ObservedVelocity => Some(arm.observed_velocities(&movements.code)),
            Sight::ObservedPosition => Some(arm.observed_positions(&movements.code)),
        };
        Self {
            observed,
            targets: movements.velocities,
            goals: movements.positions,
            code: movements.code,
            steps: movements.steps,
        }
    }

    fn of_sines(sines: Sines) -> Self {
        Self {
            goals: sines.targets.clone(),
            targets: sines.targets,
            observed: None,
            code: sines.code,
            steps: sines.steps,
        }
    }
}
