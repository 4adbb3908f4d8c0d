//! Who speaks: recordings, or synthetic voices where there are none.

use std::error::Error;
use std::path::Path;

use eprop_examples::utterances::DIGITS;
use eprop_tasks::features::{Frames, ZScore};
use eprop_tasks::spoken_digits::{
    HeldOut, Split, SpokenDigits, SpokenDigitsConfig, SpokenDigitsError, Utterance,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::args::Args;

/// Bands of a synthetic voice.
const BANDS: usize = 32;
/// Standard deviation of a formant in bands.
const WIDTH: f32 = 1.2;

/// Utterances of speakers who are known from the start, and of one who is new.
pub(crate) struct Speakers {
    /// Of those who are known.
    pub(crate) known: Vec<Utterance>,
    /// Of the new one, to learn from.
    pub(crate) given: Vec<Utterance>,
    /// The rest of the new one's, to be tested with.
    pub(crate) rest: Vec<Utterance>,
}

impl Speakers {
    /// Recordings, or synthetic voices where no folder is given, with features of mean 0 and deviation 1 for the known speakers.
    ///
    /// # Errors
    ///
    /// If recordings cannot be read, or none of the new speaker's are left to be tested with.
    pub(crate) fn new(args: &Args) -> Result<Self, Box<dyn Error>> {
        let (mut known, mut new) = match &args.data {
            Some(folder) => recorded(folder, args.speaker.as_deref())?,
            None => synthetic(if args.quick { 12 } else { 50 }),
        };
        let z_score = ZScore::fit(known.iter().map(|utterance| &utterance.frames));
        known.iter_mut().chain(&mut new).for_each(|utterance| z_score.apply(&mut utterance.frames));
        let mut of_digit = [0; DIGITS];
        let (given, rest): (Vec<_>, Vec<_>) = new.into_iter().partition(|utterance| {
            let count = &mut of_digit[usize::from(utterance.digit)];
            *count += 1;
            *count <= args.each
        });
        if rest.is_empty() {
            return Err(format!("--each {} leaves no recording to be tested with", args.each).into());
        }
        Ok(Self { known, given, rest })
    }
}

/// All speakers' recordings but one's, and his.
fn recorded(folder: &Path, new: Option<&str>) -> Result<(Vec<Utterance>, Vec<Utterance>), SpokenDigitsError> {
    let digits = SpokenDigits::open(folder)?;
    let new = new.unwrap_or_else(|| digits.speakers()[0]);
    println!("recordings; the new speaker is {new}");
    let config = SpokenDigitsConfig { held_out: HeldOut::Speaker(new.into()), ..Default::default() };
    Ok((digits.load(Split::Train, &config)?, digits.load(Split::Test, &config)?))
}

/// Not speech, but of its shape: a digit is three formants that glide from band to band, and a voice shifts all of them.
fn synthetic(each: usize) -> (Vec<Utterance>, Vec<Utterance>) {
    println!("synthetic voices, which are no speech: recordings are given by --data FOLDER");
    let shifts = [-2.0, -1.0, 0.0, 1.0, 2.0];
    let known = shifts.iter().zip(1..).flat_map(|(&shift, seed)| speak(shift, each, seed));
    (known.collect(), speak(4.0, each, 0))
}

/// So many utterances of each digit by a synthetic voice.
fn speak(shift: f32, each: usize, seed: u64) -> Vec<Utterance> {
    let rng = &mut StdRng::seed_from_u64(seed);
    let digits = (0..10).flat_map(|digit| std::iter::repeat_n(digit, each));
    let utter = |digit| Utterance { frames: glide(digit, shift, rng), digit, speaker: format!("{shift:+}") };
    digits.map(utter).collect()
}

fn glide(digit: u8, shift: f32, rng: &mut StdRng) -> Frames {
    // What a digit is does not depend on who says it.
    let of_digit = &mut StdRng::seed_from_u64(u64::from(digit));
    let mut band = || of_digit.random_range(3.0..BANDS as f32 - 3.0);
    let formants = [[band(), band()], [band(), band()], [band(), band()]];
    let (length, hurry) = (rng.random_range(25..40), rng.random_range(0.7..1.4));
    let mut data = Vec::with_capacity(length * BANDS);
    for frame in 0..length {
        let place = (frame as f32 / length as f32).powf(hurry);
        for band in 0..BANDS {
            let energy = |[from, to]: [f32; 2]| {
                let distance = (band as f32 - shift - from - (to - from) * place) / WIDTH;
                (-0.5 * distance * distance).exp()
            };
            data.push(formants.map(energy).iter().sum::<f32>() + rng.random_range(-0.5..0.5));
        }
    }
    Frames { data, features: BANDS }
}
