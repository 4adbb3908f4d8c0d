//! The book: its links, figures, listings, numbers and commands hold; what its interactive page computes is what the library computes, and its
//! pages work in a browser.
//!
//! The trials of a browser are ignored where there is no Chromium, or no built book (`mdbook build book`), unless the
//! environment variable `EPROP_REQUIRE_BROWSER` is set: then they fail.

mod browser;
mod chapter;
mod commands;
mod pages;
mod stored;
mod touch;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let trials = [pages::trials(), commands::trials(), stored::trials(), browser::trials(), touch::trials()];
    let trials: Vec<Trial> = trials.into_iter().flatten().collect();
    libtest_mimic::run(&arguments, trials).exit();
}
