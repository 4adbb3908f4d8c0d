//! The arm: from angles to positions and back.

use std::f64::consts::{FRAC_PI_2, TAU};

use burn::tensor::Tensor;

/// The angles at which the arm starts.
pub(super) const START: [f64; 2] = [0.0, FRAC_PI_2];

/// Where the arm's end is, equation (2) of the task.
pub(super) fn position([first, second]: [f64; 2]) -> [f64; 2] {
    let (sum, half) = (first + second, 0.5);
    [half * (first.cos() + sum.cos()), half * (first.sin() + sum.sin())]
}

/// The angles at the position nearest to `position` that the arm can reach, its elbow bent to the side to
/// which it is bent at the start, and φ_1 within half a turn of continuing `previous`.
///
/// Both parts are as long as each other, so at the distance r from the shoulder φ_2 = 2 acos r, and φ_1 is
/// φ_2/2 less than the direction in which the end lies.
pub(super) fn angles([x, y]: [f64; 2], previous: [f64; 2]) -> [f64; 2] {
    let second = 2.0 * x.hypot(y).min(1.0).acos();
    let previous_direction = previous[0] + previous[1] / 2.0;
    let direction = y.atan2(x);
    let turns = ((previous_direction - direction) / TAU).round();
    [direction + turns * TAU - second / 2.0, second]
}

/// Equations (1) and (2) of the task.
pub(super) fn positions(velocities: Tensor<3>, step_seconds: f64) -> Tensor<3> {
    let shape = velocities.dims();
    assert_eq!(shape[2], 2, "velocities of two joints, not of shape {shape:?}");
    let turned = velocities.cumsum(1) * step_seconds;
    let first = turned.clone().narrow(2, 0, 1) + START[0]; // (1)
    let sum = first.clone() + turned.narrow(2, 1, 1) + START[1];
    let x = first.clone().cos() + sum.clone().cos();
    let y = first.sin() + sum.sin();
    Tensor::cat(vec![x, y], 2) * 0.5 // (2)
}

/// Mean of (x − x*)² over tasks, steps and coordinates, of positions and targets of shape [batch, time, 2].
///
/// # Panics
///
/// If the shapes differ.
pub fn cartesian_error(positions: Tensor<3>, targets: Tensor<3>) -> Tensor<1> {
    let (shape, expected) = (positions.dims(), targets.dims());
    assert_eq!(shape, expected, "positions of shape {shape:?} for targets of shape {expected:?}");
    let difference = positions - targets;
    (difference.clone() * difference).mean()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::ArmReachingConfig;
    use super::*;

    #[test]
    fn the_arm_starts_bent() {
        let [x, y] = position(START);
        assert!((x - 0.5).abs() < 1e-12 && (y - 0.5).abs() < 1e-12);
        let [x, y] = position([FRAC_PI_2, 0.0]);
        assert!(x.abs() < 1e-12 && (y - 1.0).abs() < 1e-12);
    }

    #[test]
    fn angles_invert_positions() {
        for first in [-1.5, -0.2, 0.0, 1.5] {
            for second in [0.1, FRAC_PI_2, 3.0] {
                let found = angles(position([first, second]), START);
                assert!((found[0] - first).abs() < 1e-6 && (found[1] - second).abs() < 1e-6, "{found:?}");
            }
        }
        let beyond = angles([0.0, 3.0], START);
        assert!((beyond[0] - FRAC_PI_2).abs() < 1e-12 && beyond[1] == 0.0);
        let continued = angles(position([0.1, 0.2]), [6.0, 0.2]);
        assert!((continued[0] - 0.1 - TAU).abs() < 1e-6);
    }

    #[test]
    fn tensors_move_as_drawn_paths() {
        let config = ArmReachingConfig::reduced();
        let drawn = config.draw(4, &mut StdRng::seed_from_u64(0));
        let tensor = |values: &[f32]| {
            Tensor::<3>::from_data(TensorData::new(values.to_vec(), [4, 125, 2]), &Device::flex())
        };
        let moved = config.positions(tensor(&drawn.velocities));
        let error = (moved.clone() - tensor(&drawn.positions)).abs().max().into_scalar::<f32>();
        assert!(error < 1e-5, "{error}");
        let rest = config.positions(tensor(&drawn.velocities).zeros_like());
        let error = cartesian_error(rest, tensor(&drawn.positions)).into_scalar::<f32>();
        assert!((f64::from(error) - drawn.error_at_rest()).abs() < 1e-5, "{error}");
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let config = ArmReachingConfig { steps: 5, ..ArmReachingConfig::default() };
        let velocities: Vec<f32> = (0..10).map(|i| 3.0 * (i as f32).sin()).collect();
        let device = Device::flex().autodiff();
        let tensor =
            |values: &[f32]| Tensor::<3>::from_data(TensorData::new(values.to_vec(), [1, 5, 2]), &device);
        let targets = tensor(&[0.1; 10]);
        let error = |values: &[f32]| cartesian_error(config.positions(tensor(values)), targets.clone());
        let leaf = tensor(&velocities).require_grad();
        let gradients = cartesian_error(config.positions(leaf.clone()), targets.clone()).backward();
        let gradient = leaf.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
        for (i, gradient) in gradient.into_iter().enumerate() {
            let at = |change: f32| {
                let mut values = velocities.clone();
                values[i] += change;
                error(&values).into_scalar::<f32>()
            };
            let difference = (at(0.05) - at(-0.05)) / 0.1;
            assert!((difference - gradient).abs() < 2e-4, "{i}: {difference} for {gradient}");
        }
    }

    #[test]
    #[should_panic(expected = "velocities of two joints, not of shape [1, 2, 3]")]
    fn other_joints_are_refused() {
        ArmReachingConfig::default().positions(Tensor::zeros([1, 2, 3], &Device::flex()));
    }
}
