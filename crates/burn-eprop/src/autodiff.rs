//! Burn's autodiff graph where nobody goes backward through it, or nothing is there to go backward through.

use burn::tensor::{Gradients, Tensor};

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

/// The gradients of a loss; none where it depends on nothing that is trained, from where Burn does not go backward.
pub(crate) fn backward(loss: &Tensor<1>) -> Gradients {
    if loss.is_tracked() { loss.backward() } else { loss.zeros_like().require_grad().backward() }
}
