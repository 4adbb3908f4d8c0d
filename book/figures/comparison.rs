//! Comparisons over seeds.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::book::{Book, Numbers, write};
use crate::program::{Executable, filled_in};

/// What `eprop compare` is asked.
pub(crate) struct Comparison {
    /// Its name in the book.
    pub(crate) name: &'static str,
    /// Whether it takes more than two minutes.
    pub(crate) long: bool,
    /// What follows `eprop compare`; see [`filled_in`].
    pub(crate) arguments: &'static str,
}

/// All of them, in the book's order.
pub(crate) const COMPARISONS: &[Comparison] = &[
    Comparison {
        name: "pattern-generation",
        long: false,
        arguments: "pattern-generation --methods eprop,bptt,readout --signals random,adaptive,symmetric,global",
    },
    Comparison {
        name: "evidence-accumulation",
        long: true,
        arguments: "evidence-accumulation --config book/settings/whole.toml --methods eprop,bptt --signals random,adaptive,symmetric",
    },
    Comparison {
        name: "evidence-accumulation-lif",
        long: true,
        arguments: "evidence-accumulation --config book/settings/whole.toml --methods eprop --signals random --cells lif",
    },
    Comparison {
        name: "store-recall",
        long: true,
        arguments: "store-recall --methods eprop,bptt --signals random,adaptive,symmetric",
    },
    Comparison {
        name: "spoken-digits",
        long: true,
        arguments: "spoken-digits --data FSDD --cells alif,lstm --methods eprop,bptt,readout --signals random,symmetric",
    },
    Comparison {
        name: "speakers",
        long: true,
        arguments: "spoken-digits --data FSDD --cells lstm --methods eprop --signals symmetric --seeds 1 --speakers george,jackson,lucas,nicolas,theo,yweweler --iterations 1000 --config book/settings/speakers.toml",
    },
    Comparison {
        name: "arm-controls",
        long: true,
        arguments: "arm-reaching --iterations 1500 --seeds 1,2,3 --signals learned,symmetric,random,shuffled,frozen,none",
    },
    Comparison {
        name: "arm-noisy",
        long: true,
        arguments: "arm-reaching --iterations 1500 --seeds 1,2,3 --family noisy --signals learned,symmetric,random,symmetric:observed-position,random:observed-position",
    },
    Comparison {
        name: "copy-repeat",
        long: true,
        arguments: "copy-repeat --methods eprop3:bp-lambda,eprop3:linear,eprop3:none,truncated-bptt-sg:bp-lambda,truncated-bptt-sg,truncated-bptt,bptt,eprop",
    },
    Comparison {
        name: "characters",
        long: true,
        arguments: "character-model --data /usr/share/common-licenses/GPL-3 --seeds 1,2,3 --iterations 300 --methods eprop3:none,eprop3:bp-lambda,truncated-bptt,truncated-bptt-sg,bptt,eprop",
    },
    Comparison { name: "delayed-choice", long: true, arguments: "delayed-choice --methods eprop,bptt" },
    Comparison { name: "memory-maze", long: true, arguments: "memory-maze --methods eprop,bptt" },
];

impl Comparison {
    /// Does the runs that are missing, and keeps table and figure.
    ///
    /// # Errors
    ///
    /// If a run fails, or recordings are needed and missing.
    pub(crate) fn run(&self, book: &Book) -> Result<()> {
        let out = book.run_folder(self.name);
        let arguments = filled_in(&format!("compare {} --out OUT", self.arguments), &out)?;
        let start = Instant::now();
        Executable::build(book, "eprop", "")?.run(book, &arguments)?;
        println!("{}: {} s", self.name, start.elapsed().as_secs());
        let read = |name: &str| {
            let path = out.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        write(&book.results(self.name).join("compare.md"), &read("compare.md")?)?;
        write(&book.figure(self.name), &read("compare.svg")?)
    }

    /// The table, if the comparison was made.
    pub(crate) fn table(&self, book: &Book) -> Option<String> {
        fs::read_to_string(book.results(self.name).join("compare.md")).ok()
    }
}

/// Every cell of every table as a number of its own, `NAME-ROW-COLUMN`.
///
/// # Errors
///
/// If they cannot be written.
pub(crate) fn write_numbers(book: &Book) -> Result<()> {
    for comparison in COMPARISONS {
        let Some(table) = comparison.table(book) else { continue };
        let mut numbers = Numbers::default();
        let rows: Vec<Vec<&str>> = table.lines().map(cells).collect();
        for row in rows.iter().skip(2) {
            for (column, cell) in rows[0].iter().zip(row).skip(1) {
                let name = format!("{}-{column}", row[0]);
                numbers.add(&name.replace([' ', ':'], "-"), cell);
            }
        }
        book.write_numbers(comparison.name, &numbers)?;
    }
    Ok(())
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}
