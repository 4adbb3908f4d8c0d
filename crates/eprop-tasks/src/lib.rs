//! Tasks, data sets and plots for burn-eprop.
//!
//! | module | holds |
//! |---|---|
//! | [`audio`] | WAV files as mono samples at one sample rate |
//! | [`features`] | log-mel features and MFCC of speech, z-scoring |
//! | [`spoken_digits`] | the spoken digits: index, splits, loading |
//! | [`copy_repeat`] | copy-repeat: sequences and curriculum |
//! | [`text`] | text as characters |
//! | [`pattern_generation`] | sums of sines from frozen noise, and the error measure |
//! | [`plot`] | learning curves, rasters, signals and confusion matrices as SVG |

pub mod audio;
pub mod copy_repeat;
pub mod features;
pub mod pattern_generation;
pub mod plot;
mod range_error;
pub mod spoken_digits;
pub mod text;

pub use range_error::RangeError;
