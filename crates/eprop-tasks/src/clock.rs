//! A clock: groups of inputs that fire one after another and so tell how far a trial has come.

use serde::{Deserialize, Serialize};

use crate::range_error::RangeError;

/// A clock input. The trial is cut into as many equal parts as there are groups; in its part a group fires at
/// the first step and then every `interval_ms`, rounded to steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// Number of groups.
    pub groups: usize,
    /// Inputs of each group, which fire together.
    pub per_group: usize,
    /// Time between two spikes of a group in its part, in ms.
    pub interval_ms: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { groups: 5, per_group: 2, interval_ms: 10.0 }
    }
}

impl Clock {
    /// Checks every field, for steps of `dt_ms`.
    pub fn validate(&self, dt_ms: f64) -> Result<(), RangeError> {
        for (field, count) in [("groups", self.groups), ("per_group", self.per_group)] {
            RangeError::check((1..=1000).contains(&count), field, count, "1 to 1000")?;
        }
        let interval_ms = self.interval_ms;
        let valid = interval_ms.is_finite() && interval_ms >= dt_ms;
        let range = format!("finite and at least {dt_ms} ms, one step");
        RangeError::check(valid, "interval_ms", interval_ms, range)
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.groups * self.per_group
    }

    /// Spikes 0 or 1 of a trial, shape [time, input].
    pub fn spikes(&self, steps: usize, dt_ms: f64) -> Vec<f32> {
        let interval = ((self.interval_ms / dt_ms).round() as usize).max(1);
        let mut spikes = vec![0.0; steps * self.inputs()];
        for group in 0..self.groups {
            let part = |index: usize| (index * steps).div_ceil(self.groups);
            for step in (part(group)..part(group + 1)).step_by(interval) {
                let first = step * self.inputs() + group * self.per_group;
                spikes[first..][..self.per_group].fill(1.0);
            }
        }
        spikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_fire_in_turn_at_the_interval() {
        let clock = Clock { groups: 2, per_group: 2, interval_ms: 4.0 };
        let on = |spikes: &[f32], input: usize| -> Vec<usize> {
            (0..10).filter(|step| spikes[step * 4 + input] == 1.0).collect()
        };
        let spikes = clock.spikes(10, 2.0);
        assert_eq!(on(&spikes, 0), [0, 2, 4]);
        assert_eq!(on(&spikes, 1), [0, 2, 4]);
        assert_eq!(on(&spikes, 2), [5, 7, 9]);
        assert_eq!(on(&spikes, 3), [5, 7, 9]);
        assert_eq!(spikes.iter().sum::<f32>(), 12.0);
    }

    #[test]
    fn the_default_fires_fifty_times_in_half_a_second() {
        let clock = Clock::default();
        let spikes = clock.spikes(500, 1.0);
        assert_eq!(spikes.len(), 500 * 10);
        assert_eq!(spikes.iter().sum::<f32>(), 100.0);
        // Parts that no step fits into stay silent.
        assert_eq!(clock.spikes(3, 1.0).iter().sum::<f32>(), 6.0);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let error = |clock: Clock| clock.validate(2.0).unwrap_err().field;
        assert_eq!(error(Clock { groups: 0, ..Clock::default() }), "groups");
        assert_eq!(error(Clock { per_group: 0, ..Clock::default() }), "per_group");
        assert_eq!(error(Clock { interval_ms: 1.0, ..Clock::default() }), "interval_ms");
        assert!(Clock::default().validate(2.0).is_ok());
    }
}
