//! Transcripts: which phone is heard when.

use super::phones::phone_of;
use crate::quoted::quoted;

/// Samples a second in which the transcripts count, whatever the rate of the audio file.
pub(super) const TRANSCRIPT_RATE_HZ: u32 = 16_000;

/// Why a line of a transcript was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The line is not a segment.
    #[error("`{line}` is not `first_sample last_sample phone`")]
    Malformed {
        /// The start of the line.
        line: String,
    },
    /// The phone is none of the 61.
    #[error("unknown phone `{phone}`")]
    UnknownPhone {
        /// The phone's name.
        phone: String,
    },
    /// The segment does not end after it starts.
    #[error("the segment starts at sample {first} and ends at {last}")]
    Reversed {
        /// First sample.
        first: u64,
        /// Sample behind the last.
        last: u64,
    },
    /// The segment starts before the one in the line before ends.
    #[error("the segment starts at sample {first}, before the end of the preceding one at {preceding}")]
    Overlap {
        /// First sample.
        first: u64,
        /// Sample behind the last of the preceding segment.
        preceding: u64,
    },
    /// The segment ends after the audio.
    #[error("the segment ends at sample {last}, but the audio at {audio}")]
    BeyondAudio {
        /// Sample behind the last.
        last: u64,
        /// Samples of the audio file.
        audio: u64,
    },
}

/// Samples in which one phone is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    first: u64,
    last: u64,
    phone: u8,
}

/// The segments of a transcript in order, at least one; an error with the number of its line. `audio`
/// is the length of the recording in samples at [`TRANSCRIPT_RATE_HZ`].
pub(super) fn parse(text: &str, audio: u64) -> Result<Vec<Segment>, (usize, SegmentError)> {
    let mut segments: Vec<Segment> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // Some copies end in a blank line.
        if line.trim().is_empty() {
            continue;
        }
        let preceding = segments.last().map_or(0, |segment| segment.last);
        segments.push(segment(line, preceding, audio).map_err(|error| (index + 1, error))?);
    }
    if segments.is_empty() {
        return Err((1, SegmentError::Malformed { line: String::new() }));
    }
    Ok(segments)
}

fn segment(line: &str, preceding: u64, audio: u64) -> Result<Segment, SegmentError> {
    let parts: Vec<&str> = line.split_whitespace().collect();
    let &[first, last, name] = parts.as_slice() else { return Err(malformed(line)) };
    let sample = |text: &str| text.parse::<u64>().map_err(|_| malformed(line));
    let (first, last) = (sample(first)?, sample(last)?);
    let phone = phone_of(name).ok_or_else(|| SegmentError::UnknownPhone { phone: quoted(name) })?;
    if last <= first {
        return Err(SegmentError::Reversed { first, last });
    }
    if first < preceding {
        return Err(SegmentError::Overlap { first, preceding });
    }
    if last > audio {
        return Err(SegmentError::BeyondAudio { last, audio });
    }
    Ok(Segment { first, last, phone })
}

fn malformed(line: &str) -> SegmentError {
    SegmentError::Malformed { line: quoted(line) }
}

/// The phone of every frame: the one at the middle of its window. Before the first segment, in gaps
/// and after the last one, where the corpus leaves some samples without a phone, it is the phone of
/// the segment before, or of the first.
pub(super) fn labels(segments: &[Segment], middles: impl Iterator<Item = f64>) -> Vec<u8> {
    let label = |middle: f64| {
        let begun = segments.partition_point(|segment| segment.first as f64 <= middle);
        segments[begun.saturating_sub(1)].phone
    };
    middles.map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timit::PHONES;

    #[test]
    fn lines_are_segments_whatever_their_line_ends() {
        let segments = parse("0 2120 h#\r\n2120 2725 q\n2725  4000\tao\n\n", 4_000).unwrap();
        let names: Vec<&str> = segments.iter().map(|s| PHONES[usize::from(s.phone)]).collect();
        assert_eq!(names, ["h#", "q", "ao"]);
        assert_eq!((segments[1].first, segments[1].last), (2_120, 2_725));
    }

    #[test]
    fn faults_are_named_with_their_line() {
        let cases = [
            ("0 10 h#\n10 20", 2, "`10 20` is not `first_sample last_sample phone`"),
            ("0 10 h# x", 1, "`0 10 h# x` is not `first_sample last_sample phone`"),
            ("0 10 h#\n\n10 -20 aa", 3, "`10 -20 aa` is not `first_sample last_sample phone`"),
            ("0 1\u{7}0 h#", 1, "`0 1\\u{7}0 h#` is not `first_sample last_sample phone`"),
            ("", 1, "`` is not `first_sample last_sample phone`"),
            ("0 10 sil", 1, "unknown phone `sil`"),
            ("0 10 h#\n20 10 aa", 2, "the segment starts at sample 20 and ends at 10"),
            ("0 10 h#\n10 10 aa", 2, "the segment starts at sample 10 and ends at 10"),
            (
                "0 10 h#\n9 20 aa",
                2,
                "the segment starts at sample 9, before the end of the preceding one at 10",
            ),
            ("0 10 h#\n10 101 aa", 2, "the segment ends at sample 101, but the audio at 100"),
        ];
        for (text, line, message) in cases {
            let (number, error) = parse(text, 100).unwrap_err();
            assert_eq!((number, error.to_string().as_str()), (line, message), "{text:?}");
        }
    }

    #[test]
    fn samples_without_a_phone_take_the_one_before() {
        let segments = parse("10 20 aa\n30 40 b", 100).unwrap();
        let labels = labels(&segments, [0.0, 10.0, 20.0, 29.5, 30.0, 99.0].into_iter());
        let names: Vec<&str> = labels.iter().map(|&phone| PHONES[usize::from(phone)]).collect();
        assert_eq!(names, ["aa", "aa", "aa", "aa", "b", "b"]);
    }
}
