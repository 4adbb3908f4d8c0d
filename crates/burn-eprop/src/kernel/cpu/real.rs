//! Floating-point types and vectors of the CPU kernels.

use burn::tensor::Element;
use num_traits::{Float, NumAssign};
use pulp::{Arch, Simd, WithSimd};

use super::host::View;

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

    /// exp(x), in operations that go into vectors: x = k ln 2 + r, and the Taylor series of exp(r) for |r| ≤ ½ ln 2.
    fn exponential(self) -> Self;

    /// A number in this type.
    fn of(number: f64) -> Self {
        Self::from(number).expect("every number has a nearest one")
    }
}

/// 1/n from the last term of the exponential's series in float32 to the first. A constant, with which the compiler can
/// unroll the series and make vectors of what is around it.
const SERIES: [f64; 7] = inverses();
/// The same in float64.
const LONG_SERIES: [f64; 13] = inverses();

const fn inverses<const COUNT: usize>() -> [f64; COUNT] {
    let mut inverses = [0.0; COUNT];
    let mut index = 0;
    while index < COUNT {
        inverses[index] = 1.0 / (COUNT - index) as f64;
        index += 1;
    }
    inverses
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

    #[inline(always)]
    fn exponential(self) -> Self {
        // Adding it rounds to a whole number, which then lies in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        let x = self.clamp(-87.0, 88.0);
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let k = shifted - ROUND;
        let r = x - k * LN_2_HIGH - k * LN_2_LOW;
        let series = SERIES.iter().fold(1.0, |series, &inverse| 1.0 + series * r * inverse as f32);
        series * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
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

    #[inline(always)]
    fn exponential(self) -> Self {
        // Adding it rounds to a whole number, which then lies in the lowest bits.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
        const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
        let x = self.clamp(-708.0, 709.0);
        let shifted = x * std::f64::consts::LOG2_E + ROUND;
        let k = shifted - ROUND;
        let r = x - k * LN_2_HIGH - k * LN_2_LOW;
        let series = LONG_SERIES.iter().fold(1.0, |series, &inverse| 1.0 + series * r * inverse);
        series * f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52))
    }
}

/// Runs a kernel with the widest vectors that the machine has.
pub(super) fn dispatch<K: WithSimd>(kernel: K) -> K::Output {
    Arch::new().dispatch(kernel)
}

/// Rows are padded to a multiple of this, so that vectors of any machine fit.
const PADDING: usize = 16;

/// The width of a padded row.
pub(super) fn padded(width: usize) -> usize {
    width.next_multiple_of(PADDING)
}

/// `sum += factor · row`.
#[inline(always)]
pub(super) fn add_scaled<E: Real>(sum: &mut [E], factor: E, row: &[E]) {
    for (sum, &row) in sum.iter_mut().zip(row) {
        *sum += factor * row;
    }
}

/// `sums[s] += Σ_i factors[s][i] · rows[list[i]]` for padded rows, of which row r starts at `r · stride`.
///
/// The sums stay in registers, and a row that is read goes into all of them.
#[inline(always)]
pub(super) fn add_combinations<E: Real, S: Simd, const SUMS: usize>(
    simd: S,
    mut sums: [&mut [E]; SUMS],
    factors: [&[E]; SUMS],
    list: &[u32],
    rows: &[E],
) {
    let stride = sums[0].len();
    let vectors = E::vectors::<S>(sums[0]).0.len();
    // Blocks of nearly the same size: a short one would wait for each sum in turn.
    let blocks = vectors.div_ceil(8 / SUMS);
    let mut first = 0;
    for block in 0..blocks {
        let size = (block + 1) * vectors / blocks - first;
        let combination = Combination { simd, factors, list, rows, stride, first };
        let sums = sums.each_mut().map(|sum| &mut E::vectors_mut::<S>(sum).0[first..][..size]);
        match size {
            1 => combination.add::<1>(sums),
            2 => combination.add::<2>(sums),
            3 => combination.add::<3>(sums),
            4 => combination.add::<4>(sums),
            5 => combination.add::<5>(sums),
            6 => combination.add::<6>(sums),
            7 => combination.add::<7>(sums),
            _ => combination.add::<8>(sums),
        }
        first += size;
    }
}

struct Combination<'a, E, S, const SUMS: usize> {
    simd: S,
    factors: [&'a [E]; SUMS],
    list: &'a [u32],
    rows: &'a [E],
    stride: usize,
    /// The first vector of a row.
    first: usize,
}

impl<E: Real, S: Simd, const SUMS: usize> Combination<'_, E, S, SUMS> {
    #[inline(always)]
    fn add<const COUNT: usize>(&self, sums: [&mut [E::Vector<S>]; SUMS]) {
        let memory = sums.map(|sums| <&mut [E::Vector<S>; COUNT]>::try_from(sums).expect("of this size"));
        let mut sums = memory.each_ref().map(|sums| **sums);
        let factors = self.factors.map(|factors| &factors[..self.list.len()]);
        for (index, &row) in self.list.iter().enumerate() {
            let row = E::vectors::<S>(&self.rows[row as usize * self.stride..][..self.stride]).0;
            let row: &[E::Vector<S>; COUNT] = row[self.first..][..COUNT].try_into().expect("of this size");
            let factors = factors.map(|factors| E::splat(self.simd, factors[index]));
            for (vector, &value) in row.iter().enumerate() {
                for sum in 0..SUMS {
                    sums[sum][vector] = E::multiply_add(self.simd, factors[sum], value, sums[sum][vector]);
                }
            }
        }
        for (memory, sums) in memory.into_iter().zip(sums) {
            *memory = sums;
        }
    }
}

/// A matrix with padded rows.
pub(super) struct Matrix<E> {
    values: Vec<E>,
}

impl<E: Real> Matrix<E> {
    /// The padded rows of a matrix of a view.
    pub(super) fn new(view: &View<E>, outer: usize, rows: usize) -> Self {
        let stride = padded(view.width());
        let mut values = vec![E::zero(); rows * stride];
        for (row, values) in values.chunks_exact_mut(stride).enumerate() {
            values[..view.width()].copy_from_slice(view.row(outer, row));
        }
        Self { values }
    }

    /// `sum += Σ_i values[i] · row[list[i]]`, for a padded sum.
    #[inline(always)]
    pub(super) fn add<S: Simd>(&self, simd: S, sum: &mut [E], rows: &Sparse<E>) {
        add_combinations(simd, [sum], [&rows.values], &rows.list, &self.values);
    }
}

/// A matrix cut into panels of a few vectors' width, each row by row, for products with several rows at a time.
pub(super) struct Panels<E> {
    values: Vec<E>,
    rows: usize,
    panels: usize,
}

impl<E: Real> Panels<E> {
    /// Vectors of a panel.
    const VECTORS: usize = 3;

    /// Packs a matrix of a view for the machine's vectors.
    #[inline(always)]
    pub(super) fn new<S: Simd>(matrix: &View<E>, outer: usize, rows: usize) -> Self {
        let width = Self::width::<S>();
        let panels = matrix.width().div_ceil(width);
        let mut values = vec![E::zero(); panels * rows * width];
        for row in 0..rows {
            for (panel, source) in matrix.row(outer, row).chunks(width).enumerate() {
                values[(panel * rows + row) * width..][..source.len()].copy_from_slice(source);
            }
        }
        Self { values, rows, panels }
    }

    /// Length of a row of all panels.
    #[inline(always)]
    pub(super) fn stride<S: Simd>(&self) -> usize {
        self.panels * Self::width::<S>()
    }

    #[inline(always)]
    fn width<S: Simd>() -> usize {
        Self::VECTORS * size_of::<E::Vector<S>>() / size_of::<E>()
    }

    /// `sums[r] += Σ_i factors[r][i] · row i` for sums of the panels' length, one below the other.
    #[inline(always)]
    pub(super) fn add<S: Simd, const ROWS: usize>(&self, simd: S, sums: &mut [E], factors: [&[E]; ROWS]) {
        let width = Self::width::<S>();
        let stride = self.stride::<S>();
        let factors = factors.map(|factors| &factors[..self.rows]);
        for (number, panel) in self.values.chunks_exact(self.rows * width).enumerate() {
            let mut registers = [[E::splat(simd, E::zero()); 3]; ROWS];
            for (index, row) in panel.chunks_exact(width).enumerate() {
                let row: &[E::Vector<S>; 3] = E::vectors::<S>(row).0.try_into().expect("a panel's width");
                for (registers, factors) in registers.iter_mut().zip(&factors) {
                    let factor = E::splat(simd, factors[index]);
                    for (register, &value) in registers.iter_mut().zip(row) {
                        *register = E::multiply_add(simd, factor, value, *register);
                    }
                }
            }
            let one = E::splat(simd, E::one());
            for (row, registers) in registers.into_iter().enumerate() {
                let sums = E::vectors_mut::<S>(&mut sums[row * stride + number * width..][..width]).0;
                for (sum, register) in sums.iter_mut().zip(registers) {
                    *sum = E::multiply_add(simd, one, register, *sum);
                }
            }
        }
    }
}

/// σ(x).
#[inline(always)]
pub(super) fn sigmoid<E: Real>(x: E) -> E {
    E::one() / (E::one() + (-x).exponential())
}

/// tanh(x) = 1 − 2/(exp(2x) + 1), to within the rounding of values near 1.
#[inline(always)]
pub(super) fn tanh<E: Real>(x: E) -> E {
    let two = E::one() + E::one();
    E::one() - two / ((two * x).exponential() + E::one())
}

/// Where a row differs from 0, and its values there.
#[derive(Debug, Default)]
pub(super) struct Sparse<E> {
    pub(super) list: Vec<u32>,
    pub(super) values: Vec<E>,
}

impl<E: Real> Sparse<E> {
    /// Becomes those of a row.
    #[inline(always)]
    pub(super) fn set(&mut self, row: &[E]) {
        self.list.clear();
        self.values.clear();
        for_nonzero(row, |index| {
            self.list.push(index as u32);
            self.values.push(row[index]);
        });
    }
}

/// Calls `see` with every index at which a row differs from 0.
#[inline(always)]
pub(super) fn for_nonzero<E: Real>(row: &[E], mut see: impl FnMut(usize)) {
    const LANES: usize = 16;
    let (blocks, last) = row.as_chunks::<LANES>();
    for (block, first) in blocks.iter().zip((0..).step_by(LANES)) {
        let mut bits = [0_u32; LANES];
        for lane in 0..LANES {
            bits[lane] = u32::from(block[lane] != E::zero()) << lane;
        }
        let mut mask = bits.iter().fold(0, |mask, bit| mask | bit);
        while mask != 0 {
            see(first + mask.trailing_zeros() as usize);
            mask &= mask - 1;
        }
    }
    for (index, &value) in last.iter().enumerate() {
        if value != E::zero() {
            see(row.len() - last.len() + index);
        }
    }
}
