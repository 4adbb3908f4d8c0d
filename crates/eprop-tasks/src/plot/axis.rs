//! Ranges, scales and ticks.

/// How values are spread along the y axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// In proportion to the value.
    #[default]
    Linear,
    /// In proportion to the logarithm; values that are not positive leave a gap.
    Log,
}

/// A range of values along one side of a panel.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// Ends of the range; exponents of 10 on a log scale.
    low: f64,
    high: f64,
    scale: Scale,
}

/// A tick: its place from 0 to 1 along the axis and its label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) place: f64,
    pub(super) label: String,
}

impl Scale {
    /// The value's coordinate, or nothing where it cannot be drawn.
    fn coordinate(self, value: f64) -> Option<f64> {
        let coordinate = match self {
            Self::Linear => value,
            Self::Log if value > 0.0 => value.log10(),
            Self::Log => return None,
        };
        // Beyond this bound a difference of two values would overflow.
        (coordinate.abs() < 1e300).then_some(coordinate)
    }
}

impl Axis {
    /// The axis over all values that can be drawn, with a share of the range as margin on either
    /// side; nothing where there is no such value. A linear margin does not cross 0.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, scale: Scale, margin: f64) -> Option<Self> {
        let (low, high) = values
            .into_iter()
            .filter_map(|value| scale.coordinate(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), c| (low.min(c), high.max(c)));
        if low > high {
            return None;
        }
        let least = match scale {
            Scale::Linear => 1e-9 * low.abs().max(high.abs()),
            Scale::Log => 1e-6,
        };
        if high - low <= least {
            let half = if scale == Scale::Linear && low != 0.0 { 0.1 * low.abs() } else { 0.5 };
            return Some(Self::between(low - half, high + half, scale));
        }
        let pad = margin * (high - low);
        let (mut padded_low, mut padded_high) = (low - pad, high + pad);
        if scale == Scale::Linear && low >= 0.0 {
            padded_low = padded_low.max(0.0);
        }
        if scale == Scale::Linear && high <= 0.0 {
            padded_high = padded_high.min(0.0);
        }
        Some(Self::between(padded_low, padded_high, scale))
    }

    fn between(low: f64, high: f64, scale: Scale) -> Self {
        Self { low, high, scale }
    }

    /// A linear axis with these ends.
    pub(super) fn linear(low: f64, high: f64) -> Self {
        Self::between(low, high, Scale::Linear)
    }

    /// Place of a value from 0 to 1 along the axis, or nothing where it cannot be drawn.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let coordinate = self.scale.coordinate(value)?;
        Some((coordinate - self.low) / (self.high - self.low))
    }

    /// About `wanted` ticks at round values.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<Tick> {
        let values = match self.scale {
            Scale::Linear => return self.linear_ticks(self.low, self.high, wanted),
            Scale::Log => self.log_tick_values(wanted),
        };
        if values.len() < 3 {
            let ends = (10_f64.powf(self.low), 10_f64.powf(self.high));
            return self.linear_ticks(ends.0, ends.1, wanted);
        }
        let tick = |value: f64| self.tick(value, log_label(value));
        values.into_iter().filter_map(tick).collect()
    }

    fn tick(&self, value: f64, label: String) -> Option<Tick> {
        let place = self.place(value)?;
        Some(Tick { place, label })
    }

    fn linear_ticks(&self, low: f64, high: f64, wanted: usize) -> Vec<Tick> {
        let step = round_step((high - low) / wanted.max(1) as f64);
        let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
        let count = (last - first).clamp(0.0, 100.0) as usize + 1;
        let largest = low.abs().max(high.abs());
        (0..count)
            .map(|i| (first + i as f64) * step)
            .filter_map(|value| self.tick(value, linear_label(value, step, largest)))
            .filter(|tick| (-1e-6..=1.0 + 1e-6).contains(&tick.place))
            .collect()
    }

    /// Powers of ten within the range, with twos and fives between them, or every one, or every few: as many as there is room for.
    fn log_tick_values(&self, wanted: usize) -> Vec<f64> {
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let every = |stride: i32, mantissas: &'static [f64]| {
            let powers = (first..=last).filter(move |exponent| exponent.rem_euclid(stride) == 0);
            let values = powers.flat_map(|exponent| mantissas.iter().map(move |m| m * 10_f64.powi(exponent)));
            values.filter(|value| (self.low..=self.high).contains(&value.log10())).collect::<Vec<_>>()
        };
        let dense = std::iter::once(every(1, &[1.0, 2.0, 5.0]));
        let mut choices = dense.chain((1..).map(|stride| every(stride, &[1.0])));
        choices.find(|values| values.len() <= 2 * wanted.max(1)).unwrap_or_default()
    }
}

/// 1, 2 or 5 times a power of ten near `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(f64::MIN_POSITIVE).log10().floor());
    let round = match step / power {
        mantissa if mantissa < 1.5 => 1.0,
        mantissa if mantissa < 3.5 => 2.0,
        mantissa if mantissa < 7.5 => 5.0,
        _ => 10.0,
    };
    round * power
}

fn linear_label(value: f64, step: f64, largest: f64) -> String {
    if value.abs() < step / 2.0 {
        return "0".into();
    }
    // A step such as 10⁻³ may lie a rounding error below its power of ten.
    let step_exponent = (step.log10() + 1e-9).floor();
    let text = if largest >= 1e6 || step < 1e-4 {
        let exponent = largest.log10().floor();
        let decimals = (exponent - step_exponent).clamp(0.0, 8.0) as usize;
        let mantissa = value / 10_f64.powf(exponent);
        format!("{mantissa:.decimals$}×10{}", superscript(exponent as i32))
    } else {
        format!("{value:.*}", (-step_exponent).max(0.0) as usize)
    };
    text.replace('-', "−")
}

fn log_label(value: f64) -> String {
    let exponent = (value.log10() + 1e-9).floor() as i32;
    if (-3..5).contains(&exponent) {
        return format!("{value:.*}", (-exponent).max(0) as usize);
    }
    match (value / 10_f64.powi(exponent)).round() as u8 {
        1 => format!("10{}", superscript(exponent)),
        mantissa => format!("{mantissa}×10{}", superscript(exponent)),
    }
}

fn superscript(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let sign = if exponent < 0 { "⁻" } else { "" };
    let digits = exponent.unsigned_abs().to_string();
    let raised = digits.bytes().map(|digit| DIGITS[usize::from(digit - b'0')]);
    sign.chars().chain(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, wanted: usize) -> Vec<String> {
        axis.ticks(wanted).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(labels(&Axis::linear(0.0, 1_000.0), 5), ["0", "200", "400", "600", "800", "1000"]);
        assert_eq!(labels(&Axis::linear(-1.05, 1.05), 4), ["−1.0", "−0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(&Axis::linear(0.0, 0.012), 3), ["0", "0.005", "0.010"]);
        let small = labels(&Axis::linear(0.0, 3e-7), 3);
        assert_eq!(small, ["0", "1×10⁻⁷", "2×10⁻⁷", "3×10⁻⁷"]);
        assert_eq!(labels(&Axis::linear(0.0, 2e6), 2), ["0", "1×10⁶", "2×10⁶"]);
    }

    #[test]
    fn log_ticks_are_powers_of_ten() {
        let axis = Axis::over([1e-6, 1.0], Scale::Log, 0.0).unwrap();
        let expected = ["10⁻⁶", "10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1", "1"];
        assert_eq!(labels(&axis, 7), expected);
        let two_decades = Axis::over([0.1, 10.0], Scale::Log, 0.0).unwrap();
        assert_eq!(labels(&two_decades, 5), ["0.1", "0.2", "0.5", "1", "2", "5", "10"]);
        assert_eq!(two_decades.place(1.0), Some(0.5));
    }

    #[test]
    fn a_log_axis_within_a_decade_has_linear_ticks() {
        let axis = Axis::over([0.61, 0.79], Scale::Log, 0.0).unwrap();
        assert_eq!(labels(&axis, 4), ["0.65", "0.70", "0.75"]);
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        let values = [f64::NAN, -1.0, 0.0, f64::INFINITY, 10.0, 1_000.0];
        let axis = Axis::over(values, Scale::Log, 0.0).unwrap();
        assert_eq!((axis.low, axis.high), (1.0, 3.0));
        assert_eq!(axis.place(0.0), None);
        assert!(Axis::over([f64::NAN, f64::INFINITY], Scale::Linear, 0.0).is_none());
        assert!(Axis::over([-1.0], Scale::Log, 0.0).is_none());
    }

    #[test]
    fn a_margin_does_not_cross_0_and_a_single_value_gets_a_range() {
        let accuracy = Axis::over([0.01, 1.0], Scale::Linear, 0.05).unwrap();
        assert_eq!(accuracy.low, 0.0);
        for value in [0.0, 5.0, -1e20, 1e299] {
            for scale in [Scale::Linear, Scale::Log] {
                if let Some(axis) = Axis::over([value], scale, 0.05) {
                    let place = axis.place(value).unwrap();
                    assert!((place - 0.5).abs() < 1e-6, "{value}");
                    assert!(axis.ticks(5).len() < 20);
                }
            }
        }
    }
}
