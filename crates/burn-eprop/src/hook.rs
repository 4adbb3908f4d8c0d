//! placeholder
/// Placeholder.
pub struct OptimizerHook;
