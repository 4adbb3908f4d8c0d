//! Burn's autodiff graph where nobody goes backward through it.

use burn::tensor::Tensor;

use crate::cell::Cell;
use crate::network::Network;

/// Has Burn forget the weights that optimizers have replaced.
///
/// Each weight on an autodiff device is a graph of its own, and Burn looks in `backward` alone for graphs that are of no more use. Where
/// gradients come from elsewhere there is none, and each update would leave some kilobytes behind. So this goes backward from a number.
pub(crate) fn forget_replaced_weights<C: Cell>(network: &Network<C>) {
    if network.readout.weight.val().is_autodiff() {
        let _ = Tensor::<1>::zeros([1], network.options()).require_grad().backward();
    }
}
