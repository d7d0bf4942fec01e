//! Which method to fit with, and its settings: from options as a person gives them to checked values.

use serde_json::{Value, json};

use crate::kernel::svd::DEFAULT_RCOND;
use crate::{Error, Result};

/// Options as given, in SQL or on the command line; what is absent has its default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MethodOptions {
    /// A named set of settings that never changes: `paper`.
    pub preset: Option<String>,
    /// `irp` or `parseval`.
    pub method: Option<String>,
    /// irp: how many pruned subspaces are averaged.
    pub omega: Option<i64>,
    /// irp: the smallest distance between kept anchors.
    pub delta: Option<f64>,
    /// irp: what the subspaces' starting anchors are drawn by.
    pub seed: Option<i64>,
    /// Singular values up to this share of the largest are dropped.
    pub rcond: Option<f64>,
}

/// A method with its settings, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// Inverse relative projection (Maiorca et al.), equations (1) to (5) of the paper.
    Irp {
        /// Number of pruned subspaces, at least 1.
        omega: usize,
        /// Smallest distance between kept anchors, in [0, 1).
        delta: f64,
        /// Draws the starting anchors: subspace i by seed + i.
        seed: u64,
        /// Relative cut-off of the pseudo-inverse.
        rcond: f64,
    },
    /// Parseval frames (Fiorellino et al.): both anchor sets orthonormalised, each space alone, nothing pruned.
    Parseval {
        /// Relative cut-off of the frames.
        rcond: f64,
    },
}

/// More members than this bring nothing and are likely a mistake.
const MAX_OMEGA: i64 = 1024;

/// The paper's number of subspaces and pruning distance.
const PAPER: (i64, f64) = (8, 0.7);

impl Method {
    /// Checks options and fills in defaults; `fallback` is the method where none is named.
    pub fn new(options: &MethodOptions, fallback: &str) -> Result<Self> {
        let invalid = |message: String| Err(Error::Invalid(message));
        if let Some(preset) = &options.preset {
            if preset != "paper" {
                return invalid(format!("preset '{preset}' is unknown: 'paper' is the only one"));
            }
            let changed = [
                ("method", options.method.is_some()),
                ("omega", options.omega.is_some()),
                ("delta", options.delta.is_some()),
                ("rcond", options.rcond.is_some()),
            ];
            if let Some((name, _)) = changed.iter().find(|(_, given)| *given) {
                return invalid(format!(
                    "preset 'paper' never changes, so `{name}` cannot be set beside it: drop the preset and set method: \
                     'irp' (the preset is omega 8, delta 0.7)"
                ));
            }
        }
        let rcond = options.rcond.unwrap_or(DEFAULT_RCOND);
        if !(rcond > 0.0 && rcond < 1.0) {
            return invalid(format!("rcond {rcond} is outside (0, 1): 1e-6 is the default"));
        }
        let named = if options.preset.is_some() { "irp" } else { options.method.as_deref().unwrap_or(fallback) };
        match named {
            "irp" => {
                let omega = options.omega.unwrap_or(PAPER.0);
                let Some(members) = usize::try_from(omega).ok().filter(|_| (1..=MAX_OMEGA).contains(&omega)) else {
                    return invalid(format!(
                        "omega {omega} is outside 1 to {MAX_OMEGA}: the number of subspaces averaged"
                    ));
                };
                let delta = options.delta.unwrap_or(PAPER.1);
                if !(0.0..1.0).contains(&delta) {
                    return invalid(format!(
                        "delta {delta} is outside [0, 1): the smallest distance 1 - |cosine| between kept anchors"
                    ));
                }
                let Ok(seed) = u64::try_from(options.seed.unwrap_or(0)) else {
                    return invalid("seed is negative: use 0 or more".into());
                };
                Ok(Self::Irp { omega: members, delta, seed, rcond })
            }
            "parseval" => {
                let of_irp = [
                    ("omega", options.omega.is_some()),
                    ("delta", options.delta.is_some()),
                    ("seed", options.seed.is_some()),
                ];
                match of_irp.iter().find(|(_, given)| *given) {
                    Some((name, _)) => invalid(format!(
                        "`{name}` is an option of method 'irp', and the method is 'parseval', which prunes nothing: drop \
                         it or set method: 'irp'"
                    )),
                    None => Ok(Self::Parseval { rcond }),
                }
            }
            other => invalid(format!("method '{other}' is unknown: 'irp' and 'parseval' are known")),
        }
    }

    /// The method's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Irp { .. } => "irp",
            Self::Parseval { .. } => "parseval",
        }
    }

    /// Where the method comes from.
    pub fn source(&self) -> &'static str {
        match self {
            Self::Irp { .. } => {
                "Maiorca, Moschella, Fumero, Locatello, Rodola: Latent Space Translation via Inverse Relative Projection"
            }
            Self::Parseval { .. } => "Parseval frames: Fiorellino et al. (SPAICOM/rkhs-alignment)",
        }
    }

    /// The settings as JSON, names in a fixed order: stored and part of digests.
    pub fn settings(&self) -> Value {
        match self {
            Self::Irp { omega, delta, seed, rcond } => {
                json!({ "omega": omega, "delta": delta, "seed": seed, "rcond": rcond })
            }
            Self::Parseval { rcond } => json!({ "rcond": rcond }),
        }
    }

    /// Relative cut-off of singular values.
    pub fn rcond(&self) -> f64 {
        match self {
            Self::Irp { rcond, .. } | Self::Parseval { rcond } => *rcond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(options: MethodOptions) -> Result<Method, String> {
        Method::new(&options, "parseval").map_err(|error| error.to_string())
    }

    #[test]
    fn the_paper_preset_is_what_it_is() {
        let paper = method(MethodOptions { preset: Some("paper".into()), ..Default::default() });
        assert_eq!(paper, Ok(Method::Irp { omega: 8, delta: 0.7, seed: 0, rcond: 1e-6 }));
        let changed = MethodOptions { preset: Some("paper".into()), omega: Some(4), ..Default::default() };
        assert!(method(changed).unwrap_err().contains("never changes"));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let irp = || MethodOptions { method: Some("irp".into()), ..Default::default() };
        for (bad, word) in [
            (MethodOptions { delta: Some(1.0), ..irp() }, "delta"),
            (MethodOptions { delta: Some(-0.1), ..irp() }, "delta"),
            (MethodOptions { delta: Some(f64::NAN), ..irp() }, "delta"),
            (MethodOptions { omega: Some(0), ..irp() }, "omega"),
            (MethodOptions { seed: Some(-1), ..irp() }, "seed"),
            (MethodOptions { rcond: Some(0.0), ..irp() }, "rcond"),
            (MethodOptions { method: Some("procrustes".into()), ..Default::default() }, "'irp' and 'parseval'"),
            (MethodOptions { omega: Some(8), ..Default::default() }, "`omega` is an option of method 'irp'"),
            (MethodOptions { preset: Some("best".into()), ..Default::default() }, "preset"),
        ] {
            assert!(method(bad.clone()).unwrap_err().contains(word), "{bad:?}");
        }
    }
}
