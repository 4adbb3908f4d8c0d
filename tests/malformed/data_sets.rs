//! Data sets.

use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use eprop_cli::cli::{TaskChoice, TrainArgs};
use eprop_cli::config::{RunConfig, TaskName};
use eprop_cli::task;
use eprop_tasks::idx::read_idx;
use eprop_tasks::sequential_images::{ImageSet, SequentialImagesConfig};
use eprop_tasks::shd::{Shd, ShdConfig};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::format::{Format, reader};

/// An array of bytes in the format of MNIST, plain and compressed.
pub(crate) fn idx() -> Format {
    let array = idx_array(&[2, 3, 2], &[7; 12]);
    let claims = [
        idx_array(&[10_000, 1000, 1000], &[7; 12]),
        idx_array(&[1 << 10; 3], &[7; 12]),
        idx_array(&[u32::MAX; 3], &[7; 12]),
    ];
    // A thousandth of what they claim, and more than they claim.
    let bombs = [idx_array(&[1 << 10; 3], &[0; 1 << 20]), idx_array(&[2, 3, 2], &vec![0; 1 << 26])];
    let compressed = claims.iter().chain(&bombs).map(|claim| compressed(claim));
    Format {
        name: "IDX",
        file: "train-images",
        refused: claims.iter().cloned().chain(compressed).collect(),
        sound: vec![self::compressed(&array), array],
        variants: 2000,
        read: reader(
            "train-images",
            |_| (),
            |path| {
                let array = read_idx(path, 3).map_err(|error| error.to_string())?;
                assert_eq!(array.data.len(), array.shape.iter().product::<usize>());
                Ok(())
            },
        ),
    }
}

/// Labels beside images.
pub(crate) fn labels() -> Format {
    let fill = |folder: &Path| {
        for part in ["train", "t10k"] {
            let write = |name: &str, bytes| std::fs::write(folder.join(format!("{part}-{name}")), bytes);
            write("images-idx3-ubyte", idx_array(&[4, 2, 2], &[9; 16])).expect("written");
            write("labels-idx1-ubyte", idx_array(&[4], &[1, 2, 3, 4])).expect("written");
        }
    };
    let read = |path: &Path| {
        let set = ImageSet::open(path.parent().expect("a folder")).map_err(|error| error.to_string())?;
        let config = SequentialImagesConfig { validation: 1, ..SequentialImagesConfig::default() };
        let images = set.load(eprop_tasks::Split::All, &config).map_err(|error| error.to_string())?;
        assert_eq!(images.len(), 8);
        Ok(())
    };
    Format {
        name: "IDX labels",
        file: "t10k-labels-idx1-ubyte",
        sound: vec![idx_array(&[4], &[1, 2, 3, 4])],
        refused: vec![idx_array(&[1 << 30], &[1, 2, 3, 4]), idx_array(&[u32::MAX], &[1, 2, 3, 4])],
        variants: 1000,
        read: reader("t10k-labels-idx1-ubyte", fill, read),
    }
}

fn idx_array(shape: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

/// Spikes in HDF5 files of h5py and of PyTables.
pub(crate) fn spikes() -> Format {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/eprop-tasks/tests-data/shd");
    let [train, test] =
        ["shd_train.h5", "shd_test.h5"].map(|name| std::fs::read(fixtures.join(name)).expect("a fixture"));
    // Wherever six utterances may be counted, there are as many as fill 10 GB.
    let claim = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let fields = bytes.chunks_exact_mut(8).filter(|field| **field == 6_u64.to_le_bytes());
        fields.for_each(|field| field.copy_from_slice(&1_250_000_000_u64.to_le_bytes()));
        bytes
    };
    let fill = |folder: &Path| {
        std::fs::copy(fixtures.join("shd_test.h5"), folder.join("shd_test.h5")).expect("copied");
    };
    let read = |path: &Path| {
        let load = || {
            let shd = Shd::open(path.parent().expect("a folder"))?;
            shd.class_names()?;
            shd.load(eprop_tasks::Split::All, &ShdConfig::default())
        };
        let utterances = load().map_err(|error| error.to_string())?;
        utterances.iter().for_each(|utterance| assert_eq!(utterance.dense().features, 700));
        Ok(())
    };
    Format {
        name: "HDF5",
        file: "shd_train.h5",
        refused: vec![claim(&train), claim(&test)],
        sound: vec![train, test],
        variants: 3000,
        read: reader("shd_train.h5", fill, read),
    }
}

/// A text to be foretold.
pub(crate) fn text() -> Format {
    let read = |path: &Path| {
        let args = TrainArgs {
            task: Some(TaskChoice::Sequence(TaskName::CharacterModel)),
            data: Some(path.into()),
            batch: Some(2),
            ..TrainArgs::default()
        };
        let config = RunConfig::resolve(&args).expect("settings");
        let task = task::train(&config, &Device::flex()).map_err(|error| format!("{error:#}"))?;
        task.example(1);
        Ok(())
    };
    Format {
        name: "text",
        file: "book.txt",
        sound: vec!["Grüße und Küsse, 42 Mal. ".repeat(40).into_bytes()],
        refused: Vec::new(),
        variants: 500,
        read: reader("book.txt", |_| (), read),
    }
}
