//! Tensors of the CPU backends as slices.

use std::borrow::Cow;
use std::ops::Range;

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

use super::real::Real;
use crate::kernel::is_beside_others;

/// A backend whose tensors lie in the machine's memory.
pub(super) trait Host: Backend {
    /// A tensor's values, in place where the last dimension is contiguous and copied otherwise.
    fn view<E: Real>(tensor: &FloatTensor<Self>) -> View<'_, E>;

    /// A tensor's values, row by row, to be changed: in place where nobody else holds them.
    fn values_mut<E: Real>(tensor: &mut FloatTensor<Self>) -> &mut [E];

    /// A tensor of values, row by row.
    fn tensor<E: Real>(values: Vec<E>, shape: &[usize]) -> FloatTensor<Self>;
}

/// Values of a tensor [outer, inner, width], of which only rows are contiguous.
pub(super) struct View<'a, E: Real> {
    values: Cow<'a, [E]>,
    start: usize,
    strides: [usize; 2],
    width: usize,
}

impl<'a, E: Real> View<'a, E> {
    /// `strides` are those of all dimensions but the last, of which there are at most two.
    fn new(values: Cow<'a, [E]>, start: usize, strides: &[usize], width: usize) -> Self {
        let strides = match *strides {
            [] => [0, 0],
            [inner] => [0, inner],
            [outer, inner] => [outer, inner],
            _ => unreachable!("kernels have tensors of up to three dimensions"),
        };
        Self { values, start, strides, width }
    }

    /// Row [outer, inner].
    #[inline(always)]
    pub(super) fn row(&self, outer: usize, inner: usize) -> &[E] {
        let start = self.start + outer * self.strides[0] + inner * self.strides[1];
        &self.values[start..start + self.width]
    }

    /// The only row.
    pub(super) fn vector(&self) -> &[E] {
        self.row(0, 0)
    }

    /// Length of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }
}

/// The batch in as many contiguous parts as there are threads for it.
pub(super) fn groups(batch: usize) -> Vec<Range<usize>> {
    let threads = if is_beside_others() { 1 } else { rayon::current_num_threads() };
    let count = threads.min(batch);
    let start = |group: usize| group * batch / count;
    (0..count).map(|group| start(group)..start(group + 1)).collect()
}

/// The parts of a batch for a kernel whose weights are [1 or batch, …]: [`groups`], or each sequence by itself with its own.
pub(super) fn groups_with(batch: usize, weights: usize) -> Vec<Range<usize>> {
    if weights == 1 { groups(batch) } else { (0..batch).map(|element| element..element + 1).collect() }
}

/// Does the work of all groups at once, the first of them on this thread, and returns their results in order.
pub(super) fn in_parallel<P: Send, R: Send>(parts: Vec<P>, work: impl Fn(P) -> R + Sync) -> Vec<R> {
    let mut results: Vec<Option<R>> = parts.iter().map(|_| None).collect();
    let work = &work;
    rayon::in_place_scope(|scope| {
        let mut jobs = parts.into_iter().zip(&mut results);
        let first = jobs.next();
        for (part, result) in jobs {
            scope.spawn(move |_| *result = Some(work(part)));
        }
        if let Some((part, result)) = first {
            *result = Some(work(part));
        }
    });
    results.into_iter().map(|result| result.expect("the scope waits for all")).collect()
}

/// Cuts a tensor [outer, batch, width] into rows, given to the groups that hold their batch element. A group's
/// row [outer, element] is number outer · elements + element.
pub(super) fn rows_by_group<'a, E>(
    values: &'a mut [E],
    [batch, width]: [usize; 2],
    groups: &[Range<usize>],
) -> Vec<Vec<&'a mut [E]>> {
    let capacity = |group: &Range<usize>| Vec::with_capacity(group.len() * values.len() / (batch * width));
    let mut rows: Vec<Vec<&mut [E]>> = groups.iter().map(capacity).collect();
    for slab in values.chunks_exact_mut(batch * width) {
        let mut elements = slab.chunks_exact_mut(width);
        for (group, rows) in groups.iter().zip(&mut rows) {
            rows.extend(elements.by_ref().take(group.len()));
        }
    }
    rows
}

/// Gives each group's part its rows of a tensor; see [`rows_by_group`].
pub(super) fn give_rows<'a, E, P>(
    values: &'a mut [E],
    sizes: [usize; 2],
    groups: &[Range<usize>],
    parts: &mut [P],
    mut give: impl FnMut(&mut P, Vec<&'a mut [E]>),
) {
    parts.iter_mut().zip(rows_by_group(values, sizes, groups)).for_each(|(part, rows)| give(part, rows));
}

#[cfg(feature = "flex")]
mod flex {
    use std::borrow::Cow;

    use burn::backend::Flex;
    use burn::backend::tensor::FloatTensor;
    use burn::tensor::TensorData;

    use super::{Host, Real, View};

    impl Host for Flex {
        fn view<E: Real>(tensor: &FloatTensor<Self>) -> View<'_, E> {
            let layout = tensor.layout();
            let (width, outer) = layout.strides().split_last().expect("a tensor has a dimension");
            let size = layout.shape()[layout.num_dims() - 1];
            let strides: Option<Vec<usize>> =
                outer.iter().map(|&stride| usize::try_from(stride).ok()).collect();
            match strides.filter(|_| *width == 1) {
                Some(strides) => {
                    View::new(Cow::Borrowed(tensor.storage()), layout.start_offset(), &strides, size)
                }
                None => {
                    let contiguous = tensor.to_contiguous();
                    let strides: Vec<_> =
                        contiguous.layout().strides().iter().map(|&stride| stride as usize).collect();
                    let values = contiguous.as_slice::<E>().expect("contiguous").to_vec();
                    View::new(Cow::Owned(values), 0, &strides[..strides.len() - 1], size)
                }
            }
        }

        fn values_mut<E: Real>(tensor: &mut FloatTensor<Self>) -> &mut [E] {
            let count = tensor.layout().num_elements();
            let whole = tensor.is_contiguous() && tensor.layout().start_offset() == 0;
            if !whole || tensor.storage::<E>().len() != count {
                let values = tensor.to_contiguous().as_slice::<E>().expect("contiguous").to_vec();
                let shape = tensor.layout().shape().to_vec();
                *tensor = Self::tensor(values, &shape);
            }
            tensor.storage_mut()
        }

        fn tensor<E: Real>(values: Vec<E>, shape: &[usize]) -> FloatTensor<Self> {
            FloatTensor::<Self>::from_data(TensorData::new(values, shape.to_vec()))
        }
    }
}

#[cfg(feature = "ndarray")]
mod ndarray {
    use std::borrow::Cow;

    use burn::backend::tensor::FloatTensor;
    use burn::backend::{NdArray, TensorMetadata};
    use burn::tensor::TensorData;
    use pulp::bytemuck::{cast_slice, cast_slice_mut};

    use super::{Host, Real, View};

    type Primitive = FloatTensor<NdArray>;

    /// Does the same for both floating-point types.
    macro_rules! with_storage {
        ($tensor:expr, |$storage:ident| $body:expr) => {
            match $tensor {
                Primitive::F32($storage) => $body,
                Primitive::F64($storage) => $body,
                _ => unreachable!("kernels compute in float32 or float64"),
            }
        };
    }

    impl Host for NdArray {
        fn view<E: Real>(tensor: &Primitive) -> View<'_, E> {
            assert_eq!(tensor.dtype(), E::dtype(), "all tensors of a kernel are of one type");
            with_storage!(tensor, |storage| {
                let view = storage.view();
                let (width, outer) = view.strides().split_last().expect("a tensor has a dimension");
                let size = view.shape()[view.ndim() - 1];
                let strides: Option<Vec<usize>> =
                    outer.iter().map(|&stride| usize::try_from(stride).ok()).collect();
                let strides = strides.filter(|_| *width == 1);
                match (strides, view.to_slice_memory_order()) {
                    (Some(strides), Some(values)) => {
                        View::new(Cow::Borrowed(cast_slice(values)), 0, &strides, size)
                    }
                    _ => {
                        let values: Vec<_> = view.iter().copied().collect();
                        let inner = if view.ndim() > 1 { size } else { 0 };
                        let outer = if view.ndim() > 2 { size * view.shape()[view.ndim() - 2] } else { 0 };
                        View::new(Cow::Owned(cast_slice(&values).to_vec()), 0, &[outer, inner], size)
                    }
                }
            })
        }

        fn values_mut<E: Real>(tensor: &mut Primitive) -> &mut [E] {
            assert_eq!(tensor.dtype(), E::dtype(), "all tensors of a kernel are of one type");
            with_storage!(tensor, |storage| {
                let array = storage.ensure_owned();
                if !array.is_standard_layout() {
                    *array = array.as_standard_layout().into_owned().into_shared();
                }
                cast_slice_mut(array.as_slice_mut().expect("in standard layout"))
            })
        }

        fn tensor<E: Real>(values: Vec<E>, shape: &[usize]) -> Primitive {
            Primitive::from_data(TensorData::new(values, shape.to_vec()))
        }
    }
}
