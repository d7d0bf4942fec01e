//! The gate: a condition on a measure that a translation has to meet, `MEASURE OP NUMBER [* native]`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::kernel::bootstrap::Estimate;
use crate::{Error, Result};

/// Measures by name.
pub type Measures = BTreeMap<String, Estimate>;

/// A condition on a measure, such as `p_at_1 >= 0.8` or `recall_at_10 >= 0.9 * native`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    measure: String,
    op: Op,
    bound: f64,
    /// Whether the bound is a share of what native rows reach.
    of_native: bool,
}

/// How a measure is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    AtLeast,
    Above,
    AtMost,
    Below,
}

/// By their signs; those of two characters come first.
const OPS: [(&str, Op); 4] = [(">=", Op::AtLeast), ("<=", Op::AtMost), (">", Op::Above), ("<", Op::Below)];

/// What a gate says of a translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The whole 95 % interval meets it.
    Met,
    /// The mean meets it, and an end of the interval does not: not met as far as anybody can tell from so many rows.
    Borderline,
    /// The mean does not meet it.
    NotMet,
}

/// An outcome and the numbers it comes from, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The outcome.
    pub outcome: Outcome,
    /// How far the deciding end of the interval is on the right side of the bound.
    margin: f64,
    sentence: String,
}

impl Outcome {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Borderline => "borderline",
            Self::NotMet => "not met",
        }
    }
}

impl Gate {
    /// Understands `MEASURE OP NUMBER [* native]`, where OP is `>=`, `>`, `<=` or `<`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::Invalid(format!(
                "gate '{text}': {what}; a gate is MEASURE OP NUMBER, such as 'p_at_1 >= 0.8', or a share of what native rows \
                 reach, such as 'recall_at_10 >= 0.9 * native'"
            ))
        };
        let found = text.find(['<', '>']).and_then(|at| {
            let (measure, rest) = text.split_at(at);
            let (op, value) = OPS.iter().find_map(|(sign, op)| Some((*op, rest.strip_prefix(sign)?)))?;
            Some((measure.trim(), op, value))
        });
        let Some((measure, op, value)) = found else {
            return Err(wrong("has none of >=, >, <= and <".into()));
        };
        if measure.is_empty() {
            return Err(wrong("names no measure".into()));
        }
        let (number, of_native) = match value.split_once('*') {
            Some((number, native)) if native.trim() == "native" => (number, true),
            Some((_, other)) => return Err(wrong(format!("'{}' is not 'native'", other.trim()))),
            None => (value, false),
        };
        match number.trim().parse::<f64>() {
            Ok(bound) if bound.is_finite() => Ok(Self { measure: measure.to_owned(), op, bound, of_native }),
            _ => Err(wrong(format!("'{}' is no number", number.trim()))),
        }
    }

    /// The name of the measure.
    pub fn measure(&self) -> &str {
        &self.measure
    }

    /// Judges by `measures`. The end of the 95 % interval decides that is worse for the gate: the lower one for `>=` and `>`,
    /// the upper one for `<=` and `<`. `native` is what native rows reach, of which the mean counts; without it a bound
    /// relative to native is an error, as is a measure that there is not.
    pub fn judge(&self, measures: &Measures, native: Option<&Measures>) -> Result<Judgement> {
        let of = |measures: &Measures| {
            measures.get(&self.measure).copied().ok_or_else(|| {
                let known: Vec<&str> = measures.keys().map(String::as_str).collect();
                Error::Invalid(format!("gate '{self}': there is no such measure: {} are known", known.join(", ")))
            })
        };
        let Estimate { mean, low, high } = of(measures)?;
        let (bound, share) = match native {
            _ if !self.of_native => (self.bound, String::new()),
            Some(native) => {
                let native = of(native)?.mean;
                (self.bound * native, format!(" ({} of {native:.4})", self.bound))
            }
            None => {
                return Err(Error::Invalid(format!(
                    "gate '{self}': nothing native is measured here: give a number without '* native'"
                )));
            }
        };
        let (worse, end) = match self.op {
            Op::AtLeast | Op::Above => (low, "lower"),
            Op::AtMost | Op::Below => (high, "upper"),
        };
        let holds = |x: f64| match self.op {
            Op::AtLeast => x >= bound,
            Op::Above => x > bound,
            Op::AtMost => x <= bound,
            Op::Below => x < bound,
        };
        let (outcome, word) = match (holds(worse), holds(mean)) {
            (true, _) => (Outcome::Met, "is met".to_owned()),
            (false, true) => {
                (Outcome::Borderline, format!("is borderline, the mean meets it and the {end} end does not"))
            }
            (false, false) => (Outcome::NotMet, "is not met".to_owned()),
        };
        let sentence = format!(
            "the gate {self} {word}: {} is {mean:.4}, 95 % interval {low:.4} to {high:.4}, and {bound:.4}{share} is asked for",
            self.measure
        );
        let margin = match self.op {
            Op::AtLeast | Op::Above => worse - bound,
            Op::AtMost | Op::Below => bound - worse,
        };
        Ok(Judgement { outcome, margin, sentence })
    }
}

impl FromStr for Gate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPS.iter().find(|(_, op)| *op == self.op).map_or("", |(sign, _)| *sign);
        let native = if self.of_native { " * native" } else { "" };
        write!(f, "{} {sign} {}{native}", self.measure, self.bound)
    }
}

impl Judgement {
    /// The same, said of a part of the rows.
    pub fn of(self, part: &str) -> Self {
        Self { sentence: format!("{} ({part})", self.sentence), ..self }
    }

    /// Whether this one is further on the wrong side.
    pub fn is_worse_than(&self, other: &Self) -> bool {
        self.margin < other.margin
    }

    /// Nothing where the gate is met, an [`Error::Gate`] with the `advice` otherwise.
    pub fn require(&self, advice: &str) -> Result<()> {
        match self.outcome {
            Outcome::Met => Ok(()),
            Outcome::Borderline | Outcome::NotMet => Err(Error::Gate(format!("{self}: {advice}"))),
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures(mean: f64, low: f64, high: f64) -> Measures {
        ["p_at_1", "mse"].map(|name| (name.to_owned(), Estimate { mean, low, high })).into()
    }

    fn outcome(gate: &str, native: Option<&Measures>) -> Outcome {
        Gate::parse(gate).unwrap().judge(&measures(0.8, 0.75, 0.85), native).unwrap().outcome
    }

    #[test]
    fn the_worse_end_decides() {
        for (gate, want) in [
            ("p_at_1 >= 0.75", Outcome::Met),
            ("p_at_1>0.75", Outcome::Borderline),
            ("p_at_1 >= 0.8", Outcome::Borderline),
            ("p_at_1 > 8e-1", Outcome::NotMet),
            ("mse <= 0.85", Outcome::Met),
            ("mse < 0.85", Outcome::Borderline),
            ("mse < 0.8", Outcome::NotMet),
        ] {
            assert_eq!(outcome(gate, None), want, "{gate}");
        }
        let native = measures(1.0, 0.5, 1.5);
        assert_eq!(outcome("p_at_1 >= 0.75 * native", Some(&native)), Outcome::Met);
        assert_eq!(outcome("p_at_1 >= 0.9*native", Some(&native)), Outcome::NotMet);
        let nothing = Gate::parse("p_at_1 >= 0").unwrap().judge(&measures(f64::NAN, f64::NAN, f64::NAN), None);
        assert_eq!(nothing.unwrap().outcome, Outcome::NotMet);
    }

    #[test]
    fn the_sentence_has_the_numbers() {
        let gate = Gate::parse(" p_at_1>=.9  * native ").unwrap();
        let said = gate.judge(&measures(0.8, 0.75, 0.85), Some(&measures(0.85, 0.8, 0.9))).unwrap();
        assert_eq!(
            said.to_string(),
            "the gate p_at_1 >= 0.9 * native is borderline, the mean meets it and the lower end does not: p_at_1 is 0.8000, 95 % \
             interval 0.7500 to 0.8500, and 0.7650 (0.9 of 0.8500) is asked for"
        );
        assert!(matches!(said.require("embed anew"), Err(Error::Gate(text)) if text.ends_with("embed anew")));
    }

    #[test]
    fn what_is_no_gate_is_refused() {
        for (gate, word) in [
            ("p_at_1", "none of >="),
            ("p_at_1 = 0.8", "none of >="),
            (">= 0.8", "names no measure"),
            ("p_at_1 >= high", "'high' is no number"),
            ("p_at_1 >= inf", "no number"),
            ("p_at_1 >= 0.9 * ceiling", "'ceiling' is not 'native'"),
        ] {
            assert!(Gate::parse(gate).unwrap_err().to_string().contains(word), "{gate}");
        }
        let judge =
            |gate: &str| Gate::parse(gate).unwrap().judge(&measures(1.0, 1.0, 1.0), None).unwrap_err().to_string();
        assert!(judge("p@1 >= 1").contains("mse, p_at_1 are known"));
        assert!(judge("mse <= 1 * native").contains("without '* native'"));
    }
}
