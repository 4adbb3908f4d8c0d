//! Floating-point types and vectors of the CPU kernels.

use burn::tensor::Element;
use num_traits::{Float, NumAssign};
use pulp::{Arch, Simd, WithSimd};

/// A type in which kernels compute.
pub(super) trait Real: Element + Float + NumAssign + pulp::bytemuck::Pod + Send + Sync {
    /// As many values as the machine works on at once.
    type Vector<S: Simd>: Copy;

    /// Whole vectors, and the values behind the last.
    fn vectors<S: Simd>(values: &[Self]) -> (&[Self::Vector<S>], &[Self]);

    /// As [`vectors`](Self::vectors), to be written to.
    fn vectors_mut<S: Simd>(values: &mut [Self]) -> (&mut [Self::Vector<S>], &mut [Self]);

    /// A vector of equal values.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;

    /// a · b + c, in one rounding where the machine can.
    fn multiply_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;

    /// A number in this type.
    fn of(number: f64) -> Self {
        Self::from(number).expect("every number has a nearest one")
    }
}

impl Real for f32 {
    type Vector<S: Simd> = S::f32s;

    #[inline(always)]
    fn vectors<S: Simd>(values: &[Self]) -> (&[S::f32s], &[Self]) {
        S::as_simd_f32s(values)
    }

    #[inline(always)]
    fn vectors_mut<S: Simd>(values: &mut [Self]) -> (&mut [S::f32s], &mut [Self]) {
        S::as_mut_simd_f32s(values)
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: Self) -> S::f32s {
        simd.splat_f32s(value)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, c)
    }
}

impl Real for f64 {
    type Vector<S: Simd> = S::f64s;

    #[inline(always)]
    fn vectors<S: Simd>(values: &[Self]) -> (&[S::f64s], &[Self]) {
        S::as_simd_f64s(values)
    }

    #[inline(always)]
    fn vectors_mut<S: Simd>(values: &mut [Self]) -> (&mut [S::f64s], &mut [Self]) {
        S::as_mut_simd_f64s(values)
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: Self) -> S::f64s {
        simd.splat_f64s(value)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
        simd.mul_add_e_f64s(a, b, c)
    }
}

/// Runs a kernel with the widest vectors that the machine has.
pub(super) fn dispatch<K: WithSimd>(kernel: K) -> K::Output {
    Arch::new().dispatch(kernel)
}

/// `sum += factor · row`.
#[inline(always)]
pub(super) fn add_scaled<E: Real, S: Simd>(simd: S, sum: &mut [E], factor: E, row: &[E]) {
    let (sums, last_sums) = E::vectors_mut::<S>(sum);
    let (rows, last_rows) = E::vectors::<S>(row);
    let factors = E::splat(simd, factor);
    for (sum, &row) in sums.iter_mut().zip(rows) {
        *sum = E::multiply_add(simd, factors, row, *sum);
    }
    for (sum, &row) in last_sums.iter_mut().zip(last_rows) {
        *sum += factor * row;
    }
}

/// `sum += Σ_i factors[i] · rows[steps[i]]`, where row r starts at `r · stride`.
///
/// The sum stays in registers, eight vectors at a time.
#[inline(always)]
pub(super) fn add_combination<E: Real, S: Simd>(
    simd: S,
    sum: &mut [E],
    factors: &[E],
    steps: &[usize],
    rows: &[E],
    stride: usize,
) {
    const BLOCK: usize = 8;
    let width = sum.len();
    let row = |step: usize| &rows[step * stride..][..width];
    let (sums, last) = E::vectors_mut::<S>(sum);
    let mut first = 0;
    for block in sums.chunks_mut(BLOCK) {
        if let Ok(block) = <&mut [E::Vector<S>; BLOCK]>::try_from(&mut *block) {
            let mut registers = *block;
            for (&factor, &step) in factors.iter().zip(steps) {
                let factor = E::splat(simd, factor);
                let row = &E::vectors::<S>(row(step)).0[first..][..BLOCK];
                for (register, &value) in registers.iter_mut().zip(row) {
                    *register = E::multiply_add(simd, factor, value, *register);
                }
            }
            *block = registers;
        } else {
            for (offset, sum) in block.iter_mut().enumerate() {
                let mut register = *sum;
                for (&factor, &step) in factors.iter().zip(steps) {
                    let value = E::vectors::<S>(row(step)).0[first + offset];
                    register = E::multiply_add(simd, E::splat(simd, factor), value, register);
                }
                *sum = register;
            }
        }
        first += BLOCK;
    }
    let behind = width - last.len();
    for (offset, sum) in last.iter_mut().enumerate() {
        let products = factors.iter().zip(steps).map(|(&factor, &step)| factor * row(step)[behind + offset]);
        *sum += products.fold(E::zero(), |sum, product| sum + product);
    }
}

/// Lists where a row differs from 0.
#[inline(always)]
pub(super) fn nonzero<E: Real>(row: &[E], list: &mut Vec<usize>) {
    list.resize(row.len(), 0);
    let mut count = 0;
    for (index, &value) in row.iter().enumerate() {
        list[count] = index;
        count += usize::from(value != E::zero());
    }
    list.truncate(count);
}
