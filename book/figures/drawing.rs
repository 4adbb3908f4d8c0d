//! The figures that the library computes.

use anyhow::Result;

use crate::book::Book;
use crate::{cost, diff, gradient, neuron, own_cell, plasticity, streaming, synapse};

/// A name, and what draws it.
pub(crate) type Drawing = (&'static str, fn(&Book) -> Result<()>);

/// All of them, in the book's order.
pub(crate) const DRAWINGS: [Drawing; 11] = [
    ("burn-project.diff", diff::write),
    ("neuron", neuron::draw),
    ("surrogates", neuron::draw_surrogates),
    ("synapse", synapse::draw),
    ("plasticity", plasticity::draw),
    ("gradient", gradient::draw),
    ("cost", cost::draw),
    ("chunk", cost::draw_chunks),
    ("devices", cost::draw_devices),
    ("streaming-figure", streaming::draw),
    ("own-cell-figure", own_cell::draw),
];
