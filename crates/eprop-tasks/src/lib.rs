//! Tasks, data sets and plots for burn-eprop.
//!
//! | module | holds |
//! |---|---|
//! | [`audio`] | WAV files as mono samples at one sample rate |
//! | [`features`] | log-mel features and MFCC of speech, z-scoring |
//! | [`spoken_digits`] | the spoken digits: index, splits, loading |
//! | [`shd`] | the Spiking Heidelberg Digits: spikes in time bins, splits, loading |
//! | [`idx`] | arrays of bytes in IDX files, the format of MNIST |
//! | [`sequential_images`] | images shown row by row or pixel by pixel |
//! | [`copy_repeat`] | copy-repeat: sequences and curriculum |
//! | [`text`] | text as characters |
//! | [`pattern_generation`] | sums of sines from frozen noise, and the error measure |
//! | [`arm_reaching`] | one-shot paths of a two-joint arm, and the error measure |
//! | [`sine_regression`] | one-shot sine waves |
//! | [`population_code`] | numbers as spikes, and back |
//! | [`clock`] | an input that tells the time in a trial |
//! | [`plot`] | learning curves, rasters, signals, paths and confusion matrices as SVG |

pub mod arm_reaching;
pub mod audio;
pub mod clock;
pub mod copy_repeat;
pub mod features;
pub mod idx;
pub mod pattern_generation;
pub mod plot;
pub mod population_code;
mod range_error;
pub mod sequential_images;
pub mod shd;
pub mod sine_regression;
mod split;
pub mod spoken_digits;
pub mod text;

pub use range_error::RangeError;
pub use split::Split;
