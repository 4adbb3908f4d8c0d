//! Log-mel features of speech.
//!
//! A recording x of samples in [-1, 1] becomes one row of features every `hop_ms`:
//!
//! | step | equation |
//! |---|---|
//! | 1 pre-emphasis | y\[n\] = x\[n\] − a x\[n−1\], y\[0\] = x\[0\] |
//! | 2 Hamming window of N samples | y\[n\] (0.54 − 0.46 cos(2πn/(N−1))) |
//! | 3 power spectrum | P\[k\] = ∣FFT\[k\]∣², not divided by the FFT's length |
//! | 4 mel bands | E\[m\] = Σ_k W_mk P\[k\], triangles W of height 1 |
//! | 5 logarithm | s\[m\] = ln(E\[m\] + floor) |
//! | 6 cepstra, if asked for | c\[k\] = √(2/M) Σ_m s\[m\] cos(πk(m + ½)/M), c\[0\] with √(1/M): MFCC |
//! | 7 energy, if asked for | e = ln(Σ_n x\[n\]² + floor) over the window's N samples, behind the bands or cepstra |
//! | 8 slopes Δ, ΔΔ | d\[t\] = Σ_i i (c\[t+i\] − c\[t−i\]) / (2 Σ_i i²), i = 1..`delta_frames` |
//!
//! The mel scale is 2595 log₁₀(1 + f/700) and equation 8 repeats the first and last frame beyond the
//! ends (both as in Young et al., The HTK Book, chapter 5, as is the energy of samples to which
//! equations 1 and 2 were not applied). [`ZScore`] then brings every feature to mean 0 and deviation 1; with `normalize`, this is done
//! within each recording. [`AugmentationConfig`] makes other recordings of those there are.

mod augmentation;
mod config;
mod frames;
mod log_mel;
mod mel;
mod wideband;
mod z_score;

pub use augmentation::AugmentationConfig;
pub use config::LogMelConfig;
pub use frames::Frames;
pub use log_mel::LogMel;
pub(crate) use wideband::Wideband;
pub use z_score::ZScore;
