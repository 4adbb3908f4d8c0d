//! The phones of the transcripts and their folding.

use std::sync::LazyLock;

/// The 61 phones of the transcripts, sorted. A label is an index into them.
pub const PHONES: [&str; 61] = [
    "aa", "ae", "ah", "ao", "aw", "ax", "ax-h", "axr", "ay", "b", "bcl", "ch", "d", "dcl", "dh", "dx", "eh",
    "el", "em", "en", "eng", "epi", "er", "ey", "f", "g", "gcl", "h#", "hh", "hv", "ih", "ix", "iy", "jh",
    "k", "kcl", "l", "m", "n", "ng", "nx", "ow", "oy", "p", "pau", "pcl", "q", "r", "s", "sh", "t", "tcl",
    "th", "uh", "uw", "ux", "v", "w", "y", "z", "zh",
];

/// The 39 phones that are scored, sorted. [`fold`] gives an index into them.
pub const FOLDED_PHONES: [&str; 39] = [
    "aa", "ae", "ah", "aw", "ay", "b", "ch", "d", "dh", "dx", "eh", "er", "ey", "f", "g", "hh", "ih", "iy",
    "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "sil", "t", "th", "uh", "uw", "v", "w",
    "y", "z",
];

/// The phones that are scored as another (Lee and Hon 1989). The glottal stop `q`, which they drop,
/// counts as silence here, so that every frame has a phone.
const FOLDS: [(&str, &str); 23] = [
    ("ao", "aa"),
    ("ax", "ah"),
    ("ax-h", "ah"),
    ("axr", "er"),
    ("hv", "hh"),
    ("ix", "ih"),
    ("el", "l"),
    ("em", "m"),
    ("en", "n"),
    ("nx", "n"),
    ("eng", "ng"),
    ("zh", "sh"),
    ("pcl", "sil"),
    ("tcl", "sil"),
    ("kcl", "sil"),
    ("bcl", "sil"),
    ("dcl", "sil"),
    ("gcl", "sil"),
    ("h#", "sil"),
    ("pau", "sil"),
    ("epi", "sil"),
    ("ux", "uw"),
    ("q", "sil"),
];

static FOLDED: LazyLock<[u8; 61]> = LazyLock::new(|| {
    PHONES.map(|phone| {
        let folded = FOLDS.iter().find(|(from, _)| *from == phone).map_or(phone, |(_, to)| to);
        let index = FOLDED_PHONES.binary_search(&folded).expect("every phone folds into one that is scored");
        index as u8
    })
});

/// The label of a phone's name.
pub fn phone_of(name: &str) -> Option<u8> {
    PHONES.binary_search(&name).ok().map(|index| index as u8)
}

/// The index into [`FOLDED_PHONES`] of a label.
///
/// # Panics
/// If `phone` is not below 61.
pub fn fold(phone: u8) -> u8 {
    FOLDED[usize::from(phone)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn folded(name: &str) -> &'static str {
        FOLDED_PHONES[usize::from(fold(phone_of(name).unwrap()))]
    }

    #[test]
    fn both_sets_are_sorted_and_distinct() {
        assert!(PHONES.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(FOLDED_PHONES.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_61_fold_into_exactly_39() {
        let reached: BTreeSet<u8> = (0..61).map(fold).collect();
        assert_eq!(reached, (0..39).collect());
    }

    #[test]
    fn phones_fold_as_published() {
        for (from, to) in FOLDS {
            assert_eq!(folded(from), to);
        }
        for name in FOLDED_PHONES.iter().filter(|name| **name != "sil") {
            assert_eq!(folded(name), *name);
        }
        assert_eq!((folded("h#"), folded("q"), folded("zh")), ("sil", "sil", "sh"));
    }

    #[test]
    fn other_names_have_no_label() {
        assert_eq!(phone_of("aa"), Some(0));
        assert_eq!(phone_of("zh"), Some(60));
        for name in ["", "sil", "AA", "h"] {
            assert_eq!(phone_of(name), None, "{name}");
        }
    }
}
