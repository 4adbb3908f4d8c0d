//! The joints' velocities as the code of the position tells them.
//!
//! With τ = `observer_tau_ms`: the position is decoded from spikes that fade with τ and turned into angles
//! φ̂, and
//!
//! ω̂^t = κ ω̂^(t−1) + (1 − κ) (φ̂^t − φ̂^(t−1)) / Δ,  κ = e^(−Δt/τ)                                      (1)
//!
//! Each of the two makes the estimate lag by about τ.

use super::ArmReachingConfig;
use super::arm;

/// Positions of shape [task, time, 2] from spikes of shape [task, time, 2 · unit].
pub(super) fn positions(config: &ArmReachingConfig, code: &[f32]) -> Vec<f32> {
    let width = 2 * config.code.units;
    let start = arm::position(arm::START).map(|coordinate| coordinate as f32);
    let tasks = code.chunks_exact(config.steps * width);
    let decode = |task| config.code.decode_from(task, &start, config.dt_ms, config.observer_tau_ms);
    tasks.flat_map(decode).collect()
}

/// Velocities of shape [task, time, 2] from spikes of shape [task, time, 2 · unit].
pub(super) fn velocities(config: &ArmReachingConfig, code: &[f32]) -> Vec<f32> {
    let positions = positions(config, code);
    positions.chunks_exact(2 * config.steps).flat_map(|task| differences(config, task)).collect()
}

fn differences(config: &ArmReachingConfig, positions: &[f32]) -> Vec<f32> {
    let kappa = (-config.dt_ms / config.observer_tau_ms).exp();
    let (mut angles, mut velocities) = (arm::START, [0.0; 2]);
    let mut observed = Vec::with_capacity(positions.len());
    for position in positions.chunks_exact(2) {
        let new = arm::angles([position[0].into(), position[1].into()], angles);
        for joint in 0..2 {
            let difference = (new[joint] - angles[joint]) / config.step_seconds();
            velocities[joint] = kappa * velocities[joint] + (1.0 - kappa) * difference; // (1)
        }
        angles = new;
        observed.extend(velocities.map(|velocity| velocity as f32));
    }
    observed
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// Correlation of each joint's observed velocities with the true ones `lag` steps before.
    fn correlations(config: &ArmReachingConfig, lag: usize) -> [f64; 2] {
        let drawn = config.draw(200, &mut StdRng::seed_from_u64(3));
        let observed = config.observed_velocities(&drawn.code);
        [0, 1].map(|joint| {
            let (mut products, mut squares) = (0.0, [0.0; 2]);
            let tasks = drawn.velocities.chunks_exact(2 * config.steps);
            for (truth, seen) in tasks.zip(observed.chunks_exact(2 * config.steps)) {
                for step in lag..config.steps {
                    let a = f64::from(truth[2 * (step - lag) + joint]);
                    let b = f64::from(seen[2 * step + joint]);
                    products += a * b;
                    squares = [squares[0] + a * a, squares[1] + b * b];
                }
            }
            products / (squares[0] * squares[1]).sqrt()
        })
    }

    #[test]
    fn velocities_are_seen_with_a_lag() {
        for config in [ArmReachingConfig::default(), ArmReachingConfig::reduced()] {
            let now = correlations(&config, 0);
            let lag = (1.5 * config.observer_tau_ms / config.dt_ms) as usize;
            let then = correlations(&config, lag);
            for joint in 0..2 {
                assert!((0.45..0.8).contains(&now[joint]), "joint {joint}: {now:?}");
                assert!(then[joint] > now[joint] + 0.1 && then[joint] > 0.68, "{then:?} after {now:?}");
            }
        }
    }

    #[test]
    fn later_spikes_are_not_used() {
        let config = ArmReachingConfig::reduced();
        let mut code = config.draw(1, &mut StdRng::seed_from_u64(0)).code;
        let before = velocities(&config, &code);
        code[60 * 50..].iter_mut().for_each(|spike| *spike = 1.0 - *spike);
        let after = velocities(&config, &code);
        assert_eq!(before[..60 * 2], after[..60 * 2]);
        assert_ne!(before[60 * 2..], after[60 * 2..]);
    }

    #[test]
    fn an_arm_at_rest_is_seen_at_rest() {
        let config = ArmReachingConfig { observer_tau_ms: 100.0, ..ArmReachingConfig::default() };
        let mut rng = StdRng::seed_from_u64(0);
        let code = config.code.encode(&[0.5; 1_000], config.dt_ms, &mut rng);
        let seen = velocities(&config, &code);
        assert_eq!(seen.len(), 1_000);
        // Of the velocities of movements, which go to 30 rad/s.
        assert!(seen.iter().all(|velocity| velocity.abs() < 1.5));
    }
}
