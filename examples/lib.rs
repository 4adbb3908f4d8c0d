//! What the examples share: nothing but their dependencies.
