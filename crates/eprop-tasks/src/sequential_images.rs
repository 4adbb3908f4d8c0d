//! Sequential images: a network sees an image of a digit row by row, or pixel by pixel, and says
//! at the end which digit it was. Pixel by pixel is the sequential MNIST of Le et al. 2015
//! (arXiv:1504.00941).
//!
//! [`ImageSet::open`] reads a folder with the four files of MNIST, or of a data set in its format,
//! [`ImageSet::load`] gives the images of one [`Split`](crate::Split), and [`SequentialImagesConfig::sequence`]
//! makes an image the inputs of a network. With R rows and C columns, n steps for each item and m
//! cue steps, the inputs have the shape
//!
//! | order | time | features without cue steps | features with cue steps |
//! |---|---|---|---|
//! | rows | n R + m | C | C + 1 |
//! | pixels | n R C + m | 1 | 2 |
//!
//! The last of the features with cue steps is the cue: 1 in the m steps at the end, when the
//! network is to answer and all other inputs are 0, and 0 before.

mod error;
mod image_set;

use serde::{Deserialize, Serialize};

use crate::features::Frames;
use crate::range_error::RangeError;

pub use error::ImageSetError;
pub use image_set::{Image, ImageSet};

/// What of an image is shown at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// One row after the other, from the top.
    Rows,
    /// One pixel after the other, in the order of reading.
    Pixels,
}

/// Which images are read and how they are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SequentialImagesConfig {
    /// What is shown at a time.
    pub order: Order,
    /// Steps for which each row or pixel is shown.
    pub steps_per_item: usize,
    /// Steps at the end, in which the cue is on; with 0, the default, there is no such input.
    pub cue_steps: usize,
    /// How many of the last training images are held out for validation; by default none.
    pub validation: usize,
    /// At most so many images of a split are used, the first ones; by default all.
    pub max_images: Option<usize>,
}

impl Default for SequentialImagesConfig {
    fn default() -> Self {
        Self { order: Order::Rows, steps_per_item: 1, cue_steps: 0, validation: 0, max_images: None }
    }
}

impl SequentialImagesConfig {
    /// Checks every field but `validation`, whose range depends on the data set.
    ///
    /// # Errors
    ///
    /// If a value lies outside its range.
    pub fn validate(&self) -> Result<(), RangeError> {
        let steps = self.steps_per_item;
        RangeError::check((1..=1000).contains(&steps), "steps_per_item", steps, "1 to 1000")?;
        RangeError::check(self.cue_steps <= 10_000, "cue_steps", self.cue_steps, "0 to 10000")?;
        RangeError::check(self.max_images != Some(0), "max_images", 0, "at least 1")
    }

    /// Number of inputs at each step for images of so many columns.
    pub fn inputs(&self, columns: usize) -> usize {
        self.pixels_at_once(columns) + usize::from(self.cue_steps > 0)
    }

    /// Number of steps of an image.
    pub fn steps(&self, rows: usize, columns: usize) -> usize {
        let items = rows * columns / self.pixels_at_once(columns).max(1);
        items * self.steps_per_item + self.cue_steps
    }

    /// An image as inputs from 0 to 1, shape [time, feature] (see the module).
    pub fn sequence(&self, image: Image<'_>) -> Frames {
        let features = self.inputs(image.columns);
        let mut data = Vec::with_capacity(self.steps(image.rows, image.columns) * features);
        for item in image.pixels.chunks_exact(self.pixels_at_once(image.columns).max(1)) {
            for _ in 0..self.steps_per_item {
                data.extend(item.iter().map(|&pixel| f32::from(pixel) / 255.0));
                // The cue is off.
                data.extend((self.cue_steps > 0).then_some(0.0));
            }
        }
        for _ in 0..self.cue_steps {
            data.resize(data.len() + features - 1, 0.0);
            data.push(1.0);
        }
        Frames { data, features }
    }

    fn pixels_at_once(&self, columns: usize) -> usize {
        match self.order {
            Order::Rows => columns,
            Order::Pixels => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Image<'static> =
        Image { rows: 2, columns: 3, pixels: &[0, 51, 102, 153, 204, 255], label: 7 };

    #[test]
    fn rows_are_shown_in_turn() {
        let config = SequentialImagesConfig::default();
        let frames = config.sequence(IMAGE);
        assert_eq!((frames.len(), frames.features), (2, 3));
        assert_eq!((config.steps(2, 3), config.inputs(3)), (2, 3));
        assert_eq!(frames.data, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    }

    #[test]
    fn pixels_are_repeated_and_a_cue_ends_the_sequence() {
        let config = SequentialImagesConfig {
            order: Order::Pixels,
            steps_per_item: 2,
            cue_steps: 3,
            ..Default::default()
        };
        let frames = config.sequence(IMAGE);
        assert_eq!((frames.len(), frames.features), (15, 2));
        assert_eq!((config.steps(2, 3), config.inputs(3)), (15, 2));
        assert_eq!(
            (frames.row(2), frames.row(3), frames.row(11)),
            (&[0.2, 0.0][..], &[0.2, 0.0][..], &[1.0, 0.0][..])
        );
        assert!((12..15).all(|t| frames.row(t) == [0.0, 1.0]));
    }

    #[test]
    fn rows_have_a_cue_of_their_own() {
        let config = SequentialImagesConfig { cue_steps: 1, ..Default::default() };
        let frames = config.sequence(IMAGE);
        assert_eq!((frames.len(), frames.features), (3, 4));
        assert_eq!((frames.row(1), frames.row(2)), (&[0.6, 0.8, 1.0, 0.0][..], &[0.0, 0.0, 0.0, 1.0][..]));
    }

    #[test]
    fn values_outside_their_range_are_named() {
        let default = SequentialImagesConfig::default;
        assert_eq!(default().validate(), Ok(()));
        for (config, field) in [
            (SequentialImagesConfig { steps_per_item: 0, ..default() }, "`steps_per_item` is 0"),
            (SequentialImagesConfig { cue_steps: 10_001, ..default() }, "`cue_steps` is 10001"),
            (SequentialImagesConfig { max_images: Some(0), ..default() }, "`max_images` is 0"),
        ] {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(field), "{message}");
        }
    }
}
