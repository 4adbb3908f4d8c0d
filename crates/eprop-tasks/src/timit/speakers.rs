//! The speakers of the folder TEST that make up the test and the development set.

/// The core test set of the corpus, as region and speaker.
pub const CORE_TEST_SPEAKERS: [&str; 24] = [
    "dr2/fpas0",
    "dr2/mtas1",
    "dr2/mwew0",
    "dr4/mtls0",
    "dr4/mlll0",
    "dr4/fjlm0",
    "dr5/fnlp0",
    "dr5/mbpm0",
    "dr5/mklt0",
    "dr8/fmld0",
    "dr8/mpam0",
    "dr8/mjln0",
    "dr6/mcmj0",
    "dr6/fmgd0",
    "dr6/mjdh0",
    "dr7/fdhc0",
    "dr7/mnjm0",
    "dr7/mgrt0",
    "dr1/mdab0",
    "dr1/felc0",
    "dr1/mwbt0",
    "dr3/fpkt0",
    "dr3/mjmp0",
    "dr3/mlnt0",
];

/// The development set, as region and speaker: the 50 speakers of Halberstadt (1998), none of them in
/// the core test set.
pub const DEVELOPMENT_SPEAKERS: [&str; 50] = [
    "dr2/mgwt0",
    "dr2/mpdf0",
    "dr2/mjar0",
    "dr2/mmdm2",
    "dr2/mmdb1",
    "dr4/fgjd0",
    "dr4/fjmg0",
    "dr4/fadg0",
    "dr4/fnmr0",
    "dr4/frew0",
    "dr4/mteb0",
    "dr4/fedw0",
    "dr4/mdls0",
    "dr4/fsem0",
    "dr4/fdms0",
    "dr4/mroa0",
    "dr4/mbns0",
    "dr5/fcal1",
    "dr5/fmah0",
    "dr5/mrws1",
    "dr8/fjsj0",
    "dr8/majc0",
    "dr6/fdrw0",
    "dr6/mjfc0",
    "dr6/mrjr0",
    "dr7/mdlf0",
    "dr7/mers0",
    "dr7/fmml0",
    "dr7/mrcs0",
    "dr7/mrjm4",
    "dr7/mdvc0",
    "dr1/faks0",
    "dr1/fdac1",
    "dr1/mjsw0",
    "dr1/mreb0",
    "dr1/fjem0",
    "dr3/mmwh0",
    "dr3/mglb0",
    "dr3/fkms0",
    "dr3/mgjf0",
    "dr3/mtdt0",
    "dr3/mrtk0",
    "dr3/mtaa0",
    "dr3/mcsh0",
    "dr3/mmjr0",
    "dr3/mwjg0",
    "dr3/mbdg0",
    "dr3/fcmh0",
    "dr3/mbwm0",
    "dr3/mthc0",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_sets_are_distinct() {
        let all: BTreeSet<&str> = CORE_TEST_SPEAKERS.into_iter().chain(DEVELOPMENT_SPEAKERS).collect();
        assert_eq!(all.len(), 74);
    }

    #[test]
    fn the_core_test_has_two_men_and_a_woman_of_every_region() {
        for region in 1..=8 {
            let of = |sex: &str| {
                let start = format!("dr{region}/{sex}");
                CORE_TEST_SPEAKERS.iter().filter(|speaker| speaker.starts_with(&start)).count()
            };
            assert_eq!((of("m"), of("f")), (2, 1), "region {region}");
        }
    }
}
