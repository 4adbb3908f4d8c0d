//! Sequential images: a digit for each, told at the end.

use std::path::Path;

use anyhow::{Context, Result};
use eprop_tasks::Split;
use eprop_tasks::sequential_images::{Image, ImageSet, SequentialImagesConfig};

use super::{DataSet, Labels, Sequence, own};
use crate::config::RunConfig;

struct Images {
    images: ImageSet,
    settings: SequentialImagesConfig,
}

pub(super) fn open(config: &RunConfig, folder: &Path) -> Result<Box<dyn DataSet>> {
    let settings = own(&config.sequential_images, "sequential_images")?.clone();
    settings.validate().context("[sequential_images]")?;
    Ok(Box::new(Images { images: ImageSet::open(folder)?, settings }))
}

impl DataSet for Images {
    fn title(&self) -> &'static str {
        "An image"
    }

    fn features(&self) -> usize {
        self.settings.inputs(self.images.columns())
    }

    fn classes(&self) -> Vec<String> {
        (0..10).map(|digit| digit.to_string()).collect()
    }

    fn load(&self, split: Split) -> Result<Vec<Sequence>> {
        // In the cue's steps or, without a cue, in those of the last row or pixel.
        let frames = match self.settings.cue_steps {
            0 => self.settings.steps_per_item,
            steps => steps,
        };
        let images = self.images.load(split, &self.settings)?.into_iter();
        let count = self.settings.steps(self.images.rows(), self.images.columns());
        let sequence = |image: Image| {
            let labels = Labels::Last { class: image.label.into(), frames };
            let (pixels, settings) = (image.pixels.to_vec(), self.settings.clone());
            let Image { rows, columns, label, .. } = image;
            let make = move || settings.sequence(Image { rows, columns, pixels: &pixels, label });
            Sequence::made(count, labels, make)
        };
        Ok(images.map(sequence).collect())
    }

    fn has_z_scores(&self) -> bool {
        false
    }
}
