//! TIMIT: a phone for each frame. A network tells 61 of them, which are judged by the 39 that they fold into.

use std::path::Path;

use anyhow::{Context, Result};
use eprop_tasks::Split;
use eprop_tasks::timit::{FOLDED_PHONES, PHONES, Timit, TimitConfig, fold};

use super::{DataSet, Labels, Sequence, own};
use crate::config::RunConfig;

struct Sentences {
    corpus: Timit,
    settings: TimitConfig,
}

pub(super) fn open(config: &RunConfig, folder: &Path) -> Result<Box<dyn DataSet>> {
    let settings = own(&config.timit, "timit")?.clone();
    settings.features.validate().context("[timit.features]")?;
    Ok(Box::new(Sentences { corpus: Timit::open(folder)?, settings }))
}

impl DataSet for Sentences {
    fn title(&self) -> &'static str {
        "A sentence"
    }

    fn features(&self) -> usize {
        self.settings.features.feature_count()
    }

    fn classes(&self) -> Vec<String> {
        PHONES.map(str::to_owned).to_vec()
    }

    fn load(&self, split: Split) -> Result<Vec<Sequence>> {
        let utterances = self.corpus.load(split, &self.settings)?.into_iter();
        let labels = |phones: Vec<u8>| Labels::Frames(phones.into_iter().map(usize::from).collect());
        Ok(utterances.map(|said| Sequence::new(said.frames, labels(said.phones))).collect())
    }

    fn judged(&self) -> (Vec<String>, fn(usize) -> usize) {
        (FOLDED_PHONES.map(str::to_owned).to_vec(), |phone| usize::from(fold(phone as u8)))
    }
}
