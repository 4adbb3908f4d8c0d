//! Drawn tasks, and what can be had without learning.

use super::arm;

/// Drawn movements, of values in the order [task, time, feature].
#[derive(Debug, Clone, PartialEq)]
pub struct Movements {
    /// Velocities of the two joints, in rad/s.
    pub velocities: Vec<f32>,
    /// The position, two coordinates in [-1, 1].
    pub positions: Vec<f32>,
    /// Spikes 0 or 1 of the population code of the position with its noise.
    pub code: Vec<f32>,
    /// Number of tasks.
    pub tasks: usize,
    /// Steps of each.
    pub steps: usize,
}

impl Movements {
    /// Cartesian error of an arm that stays where it starts.
    pub fn error_at_rest(&self) -> f64 {
        self.error_of(&arm::position(arm::START))
    }

    /// Cartesian error of the mean position of all tasks and steps.
    pub fn error_of_mean_position(&self) -> f64 {
        self.error_of(&self.mean(2))
    }

    /// Cartesian error of the mean position of all tasks at each step.
    pub fn error_of_mean_trajectory(&self) -> f64 {
        self.error_of(&self.mean(2 * self.steps))
    }

    /// Mean of the positions' stretches of `length` values.
    fn mean(&self, length: usize) -> Vec<f64> {
        let mut mean = vec![0.0; length];
        let share = length as f64 / self.positions.len() as f64;
        for stretch in self.positions.chunks_exact(length) {
            mean.iter_mut().zip(stretch).for_each(|(mean, &value)| *mean += share * f64::from(value));
        }
        mean
    }

    /// Cartesian error of repeating `guess`.
    fn error_of(&self, guess: &[f64]) -> f64 {
        let guessed = self.positions.iter().zip(guess.iter().cycle());
        guessed.map(|(&value, guess)| (f64::from(value) - guess).powi(2)).sum::<f64>()
            / self.positions.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_of_known_positions() {
        let positions = vec![0.5, 0.5, 1.5, 0.5, 0.5, 0.5, 0.5, 0.5];
        let drawn = Movements { velocities: Vec::new(), positions, code: Vec::new(), tasks: 2, steps: 2 };
        assert!((drawn.error_at_rest() - 1.0 / 8.0).abs() < 1e-12);
        // Squares about 0.75 of 0.5, 1.5, 0.5 and 0.5.
        assert!((drawn.error_of_mean_position() - 0.75 / 8.0).abs() < 1e-12);
        // At the second step 1.5 and 0.5 about 1.
        assert!((drawn.error_of_mean_trajectory() - 0.5 / 8.0).abs() < 1e-12);
    }
}
