//! Tasks, data sets and plots for burn-eprop.
//!
//! | module | holds |
//! |---|---|
//! | [`audio`] | WAV and NIST SPHERE files as mono samples at one sample rate |
//! | [`features`] | log-mel features and MFCC of speech, z-scoring |
//! | [`spoken_digits`] | the spoken digits: index, splits, loading |
//! | [`evidence_accumulation`] | cues on two sides, to be counted and remembered |
//! | [`store_recall`] | a bit, to be held until it is asked for |
//! | [`timit`] | TIMIT: phones of every frame, folding, the corpus's own splits |
//! | [`speech_commands`] | spoken words in one-second recordings |
//! | [`environments`] | actions and rewards: a delayed choice, a maze with memory |
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
//! | [`whole_file`] | files that are written whole or not at all |

pub mod arm_reaching;
pub mod audio;
pub mod clock;
pub mod copy_repeat;
mod data_file;
pub mod environments;
pub mod evidence_accumulation;
pub mod features;
pub mod idx;
pub mod pattern_generation;
pub mod plot;
mod poisson;
pub mod population_code;
mod quoted;
mod range_error;
pub mod sequential_images;
pub mod shd;
pub mod sine_regression;
pub mod speech_commands;
mod split;
pub mod spoken_digits;
pub mod store_recall;
pub mod text;
pub mod timit;
pub mod whole_file;

/// Largest number of values of a batch's inputs that a task draws or reads.
pub const MAX_VALUES: usize = 1_000_000_000;

pub use range_error::RangeError;
pub use split::Split;
