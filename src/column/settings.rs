//! Which method to fit with, and its settings: from options as a person gives them to checked values.

use serde_json::{Value, json};

use crate::kernel::decoder::Ensemble;
use crate::kernel::svd::DEFAULT_RCOND;
use crate::{Error, Result};

/// Options as given, in SQL or on the command line; what is absent has its default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MethodOptions {
    /// A named set of settings that never changes: `paper`.
    pub preset: Option<String>,
    /// One of [`METHODS`].
    pub method: Option<String>,
    /// best: the measure to choose by, one of [`By::ALL`].
    pub by: Option<String>,
    /// irp: how many pruned subspaces are averaged.
    pub omega: Option<i64>,
    /// irp: the smallest distance between kept anchors.
    pub delta: Option<f64>,
    /// irp: what the subspaces' starting anchors are drawn by.
    pub seed: Option<i64>,
    /// irp: the space in which anchors are pruned, `target` or `source`.
    pub prune_space: Option<String>,
    /// irp: `polar` makes the matrix orthogonal, `none` leaves it.
    pub orthogonalise: Option<String>,
    /// irp and ridge: the ridge, relative to the largest eigenvalue.
    pub lambda: Option<f64>,
    /// How long translated rows are made: one of [`Scale::ALL`].
    pub scale: Option<String>,
    /// Singular values up to this share of the largest are dropped.
    pub rcond: Option<f64>,
}

/// How a method is found: by name, or by comparing all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// This one.
    Method(Method),
    /// The best of a fixed list on the anchors.
    Best(Best),
}

/// What makes a method the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Best {
    /// The measure.
    pub by: By,
    /// Draws the folds and the intervals.
    pub seed: u64,
}

/// A measure that methods are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Share of the rows that find their twin first, by cosine.
    PAt1,
    /// Mean of 1 / rank of the twin.
    Mrr,
    /// Share of the ten nearest native rows that the translated and the native row have in common.
    KnnOverlap,
    /// Mean cosine to the twin, the target's mean taken from both.
    CentredCosine,
    /// Share of the rows that the nearest class mean of native rows gives their own class.
    Accuracy,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::PAt1, Self::Mrr, Self::KnnOverlap, Self::CentredCosine, Self::Accuracy];

    /// As an option's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::PAt1 => "p_at_1",
            Self::Mrr => "mrr",
            Self::KnnOverlap => "knn_overlap",
            Self::CentredCosine => "centred_cosine",
            Self::Accuracy => "accuracy",
        }
    }
}

impl Choice {
    /// Checks options and fills in defaults; `fallback` is the method where none is named.
    pub fn new(options: &MethodOptions, fallback: &str) -> Result<Self> {
        let named = options.method.as_deref().unwrap_or(fallback);
        if options.preset.is_some() || named != BEST {
            if options.by.is_some() {
                return Err(Error::Invalid(format!("`by` is what method '{BEST}' chooses by: set method: '{BEST}'")));
            }
            return Method::new(options, fallback).map(Self::Method);
        }
        let MethodOptions {
            preset: _,
            method: _,
            by,
            seed,
            omega,
            delta,
            prune_space,
            orthogonalise,
            lambda,
            scale,
            rcond,
        } = options;
        let settled = omega.is_some() || delta.is_some() || prune_space.is_some() || orthogonalise.is_some();
        if settled || lambda.is_some() || scale.is_some() || rcond.is_some() {
            return Err(Error::Invalid(format!(
                "method '{BEST}' compares methods with settings of their own: give it `by` and `seed` alone, or name a method"
            )));
        }
        let by = by.as_deref().unwrap_or(By::PAt1.name());
        let Some(by) = By::ALL.into_iter().find(|known| known.name() == by) else {
            let known = quoted(&By::ALL.map(By::name));
            return Err(Error::Invalid(format!("by '{by}' is unknown: {known} are known")));
        };
        let Ok(seed) = u64::try_from(seed.unwrap_or(1)) else {
            return Err(Error::Invalid("seed is negative: use 0 or more".into()));
        };
        Ok(Self::Best(Best { by, seed }))
    }
}

/// The name of the choice by comparison.
pub const BEST: &str = "best";

/// A method with its settings, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Method {
    /// How the matrix is found.
    pub map: Map,
    /// How long translated rows are made; of affine, which keeps the rows' own lengths, no matter.
    pub scale: Scale,
    /// Relative cut-off of singular values.
    pub rcond: f64,
}

/// How a translator's matrix is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Map {
    /// Inverse relative projection (Maiorca et al.), equations (1) to (5) of the paper.
    Irp(Irp),
    /// Parseval frames (Fiorellino et al.): both anchor sets orthonormalised, each space alone, nothing pruned.
    Parseval,
    /// The orthogonal map nearest to the pairs.
    Procrustes,
    /// Least squares.
    Linear,
    /// The polar factor of least squares.
    LOrtho,
    /// Least squares with a ridge.
    Ridge {
        /// The ridge, relative to the largest eigenvalue, above 0.
        lambda: f64,
    },
    /// Least squares of rows with their lengths, and a shift.
    Affine,
}

/// Settings of inverse relative projection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Irp {
    /// Number of pruned subspaces, at least 1.
    pub omega: usize,
    /// Smallest distance between kept anchors, in [0, 1).
    pub delta: f64,
    /// Draws the starting anchors: subspace i by seed + i.
    pub seed: u64,
    /// Whether anchors are pruned in the source's space; else in the target's, which then needs no source.
    pub prune_source: bool,
    /// Ridge of the inverses, relative to the largest eigenvalue; 0 for none.
    pub lambda: f64,
    /// Whether the matrix is replaced by its polar factor.
    pub polar: bool,
}

/// How long a translated row is made before the target's mean is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Times the mean length of the target's centred anchors.
    MeanNorm,
    /// Times their median length.
    MedianNorm,
    /// Times what gives the translated anchors the energy (sum of squares) of the target's.
    Energy,
    /// Times the source row's own centred length, at the ratio of the two spaces' mean lengths.
    Source,
    /// Brought to the mean length of the target's centred anchors.
    Unit,
    /// As it is.
    None,
}

impl Scale {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::MeanNorm, Self::MedianNorm, Self::Energy, Self::Source, Self::Unit, Self::None];

    /// As an option's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::MeanNorm => "mean_norm",
            Self::MedianNorm => "median_norm",
            Self::Energy => "energy",
            Self::Source => "source",
            Self::Unit => "unit",
            Self::None => "none",
        }
    }
}

/// All methods by name.
pub const METHODS: [&str; 7] = ["parseval", "procrustes", "linear", "ridge", "l_ortho", "affine", "irp"];

/// More members than this bring nothing and are likely a mistake.
const MAX_OMEGA: i64 = 1024;

/// The paper's number of subspaces and pruning distance.
const PAPER: (i64, f64) = (8, 0.7);

/// The ridge where none is given.
const RIDGE: f64 = 1e-2;

impl Method {
    /// Checks options and fills in defaults; `fallback` is the method where none is named.
    pub fn new(options: &MethodOptions, fallback: &str) -> Result<Self> {
        let invalid = |message: String| Err(Error::Invalid(message));
        const IRP: &[&str] = &["irp"];
        // Every option but the method's name: whether it is given, and the methods that have it.
        let given = [
            ("omega", options.omega.is_some(), IRP),
            ("delta", options.delta.is_some(), IRP),
            ("seed", options.seed.is_some(), IRP),
            ("prune_space", options.prune_space.is_some(), IRP),
            ("orthogonalise", options.orthogonalise.is_some(), IRP),
            ("lambda", options.lambda.is_some(), &["irp", "ridge"]),
            ("scale", options.scale.is_some(), &METHODS[..]),
            ("rcond", options.rcond.is_some(), &METHODS[..]),
        ];
        let given = given.iter().filter(|(_, given, _)| *given);
        if let Some(preset) = &options.preset {
            if preset != "paper" {
                return invalid(format!("preset '{preset}' is unknown: 'paper' is the only one"));
            }
            let named = options.method.as_ref().map(|_| "method");
            let changed = named.or_else(|| given.clone().map(|(name, ..)| *name).find(|name| *name != "seed"));
            if let Some(name) = changed {
                return invalid(format!(
                    "preset 'paper' never changes, so `{name}` cannot be set beside it: drop the preset and set method: \
                     'irp' (the preset is omega 8, delta 0.7)"
                ));
            }
        }
        let named = if options.preset.is_some() { "irp" } else { options.method.as_deref().unwrap_or(fallback) };
        if named == BEST {
            return invalid(format!(
                "method '{BEST}' compares methods on pairs: fit with it (emb_fit, emb_translator)"
            ));
        }
        if !METHODS.contains(&named) {
            return invalid(format!("method '{named}' is unknown: {} are known", quoted(&METHODS)));
        }
        if let Some((name, _, of)) = given.clone().find(|(_, _, of)| !of.contains(&named)) {
            return invalid(format!(
                "`{name}` is an option of method {}, and the method is '{named}': drop it or set another method",
                quoted(of)
            ));
        }
        if named == "affine" && options.scale.is_some() {
            return invalid("method 'affine' keeps the rows' own lengths and has no `scale`: drop it".into());
        }
        let rcond = options.rcond.unwrap_or(DEFAULT_RCOND);
        if !(rcond > 0.0 && rcond < 1.0) {
            return invalid(format!("rcond {rcond} is outside (0, 1): 1e-6 is the default"));
        }
        let map = match named {
            "irp" => Map::Irp(Irp::new(options)?),
            "procrustes" => Map::Procrustes,
            "linear" => Map::Linear,
            "l_ortho" => Map::LOrtho,
            "ridge" => {
                let lambda = options.lambda.unwrap_or(RIDGE);
                if !(lambda > 0.0 && lambda.is_finite()) {
                    return invalid(format!(
                        "lambda {lambda} is not above 0: method 'linear' is the one without a ridge"
                    ));
                }
                Map::Ridge { lambda }
            }
            "affine" => Map::Affine,
            _ => Map::Parseval,
        };
        let scale = options.scale.as_deref().unwrap_or(Scale::MeanNorm.name());
        let Some(scale) = Scale::ALL.into_iter().find(|known| known.name() == scale) else {
            return invalid(format!("scale '{scale}' is unknown: {} are known", quoted(&Scale::ALL.map(Scale::name))));
        };
        Ok(Self { map, scale, rcond })
    }

    /// The method's name.
    pub fn name(&self) -> &'static str {
        match self.map {
            Map::Irp(_) => "irp",
            Map::Parseval => "parseval",
            Map::Procrustes => "procrustes",
            Map::Linear => "linear",
            Map::LOrtho => "l_ortho",
            Map::Ridge { .. } => "ridge",
            Map::Affine => "affine",
        }
    }

    /// Where the method comes from; docs/references.md has the rest.
    pub fn source(&self) -> &'static str {
        match self.map {
            Map::Irp(_) => {
                "Maiorca, Moschella, Fumero, Locatello, Rodola: Latent Space Translation via Inverse Relative Projection"
            }
            Map::Parseval => "Parseval frames: Fiorellino et al. (SPAICOM/rkhs-alignment)",
            Map::Procrustes => "Schonemann 1966: A Generalized Solution of the Orthogonal Procrustes Problem",
            Map::Linear => {
                "Mikolov, Le, Sutskever 2013: Exploiting Similarities among Languages for Machine Translation"
            }
            Map::LOrtho | Map::Affine => {
                "Maiorca, Moschella, Norelli, Fumero, Locatello, Rodola 2023: Latent Space Translation via Semantic Alignment"
            }
            Map::Ridge { .. } => "Hoerl, Kennard 1970: Ridge Regression: Biased Estimation for Nonorthogonal Problems",
        }
    }

    /// The settings as JSON, names in a fixed order: stored and part of digests. Of what came after the first settings, only
    /// what differs from its default, so that the digest of an old translator is that of the same fit today.
    pub fn settings(&self) -> Value {
        let mut settings = match self.map {
            Map::Irp(Irp { omega, delta, seed, .. }) => json!({ "omega": omega, "delta": delta, "seed": seed }),
            _ => json!({}),
        };
        settings["rcond"] = self.rcond.into();
        match self.map {
            Map::Irp(irp) => {
                if irp.prune_source {
                    settings["prune_space"] = "source".into();
                }
                if irp.polar {
                    settings["orthogonalise"] = "polar".into();
                }
                if irp.lambda > 0.0 {
                    settings["lambda"] = irp.lambda.into();
                }
            }
            Map::Ridge { lambda } => settings["lambda"] = lambda.into(),
            _ => {}
        }
        if self.scale != Scale::MeanNorm {
            settings["scale"] = self.scale.name().into();
        }
        settings
    }
}

impl Irp {
    fn new(options: &MethodOptions) -> Result<Self> {
        let invalid = |message: String| Err(Error::Invalid(message));
        let omega = options.omega.unwrap_or(PAPER.0);
        let Some(members) = usize::try_from(omega).ok().filter(|_| (1..=MAX_OMEGA).contains(&omega)) else {
            return invalid(format!("omega {omega} is outside 1 to {MAX_OMEGA}: the number of subspaces averaged"));
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
        let prune_source = match options.prune_space.as_deref() {
            None | Some("target") => false,
            Some("source") => true,
            Some(other) => {
                return invalid(format!("prune_space '{other}' is unknown: 'target' and 'source' are known"));
            }
        };
        let polar = match options.orthogonalise.as_deref() {
            None | Some("none") => false,
            Some("polar") => true,
            Some(other) => {
                return invalid(format!("orthogonalise '{other}' is unknown: 'polar' and 'none' are known"));
            }
        };
        let lambda = options.lambda.unwrap_or(0.0);
        if !(lambda >= 0.0 && lambda.is_finite()) {
            return invalid(format!("lambda {lambda} is below 0: the ridge, relative to the largest eigenvalue"));
        }
        Ok(Self { omega: members, delta, seed, prune_source, lambda, polar })
    }

    /// As the mathematics takes it.
    pub(super) fn ensemble<'a>(&self, starts: &'a [usize], rcond: f64) -> Ensemble<'a> {
        Ensemble { starts, delta: self.delta, lambda: self.lambda, rcond }
    }
}

/// `'a', 'b' and 'c'`.
fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
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
        let irp = Irp { omega: 8, delta: 0.7, seed: 0, prune_source: false, lambda: 0.0, polar: false };
        assert_eq!(paper, Ok(Method { map: Map::Irp(irp), scale: Scale::MeanNorm, rcond: 1e-6 }));
        assert_eq!(paper.unwrap().settings().to_string(), r#"{"omega":8,"delta":0.7,"seed":0,"rcond":1e-6}"#);
        let paper = || MethodOptions { preset: Some("paper".into()), ..Default::default() };
        for changed in [
            MethodOptions { omega: Some(4), ..paper() },
            MethodOptions { method: Some("irp".into()), ..paper() },
            MethodOptions { scale: Some("mean_norm".into()), ..paper() },
            MethodOptions { lambda: Some(0.0), ..paper() },
        ] {
            assert!(method(changed).unwrap_err().contains("never changes"));
        }
        assert!(method(MethodOptions { seed: Some(4), ..paper() }).is_ok());
    }

    #[test]
    fn every_method_is_called_what_it_is_and_has_a_source() {
        for name in METHODS {
            let found = method(MethodOptions { method: Some(name.into()), ..Default::default() }).unwrap();
            assert_eq!(found.name(), name);
            assert!(!found.source().is_empty());
        }
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
            (
                MethodOptions { method: Some("procrusted".into()), ..Default::default() },
                "'parseval', 'procrustes', 'linear'",
            ),
            (MethodOptions { prune_space: Some("joint".into()), ..irp() }, "'target' and 'source'"),
            (MethodOptions { orthogonalise: Some("qr".into()), ..irp() }, "'polar' and 'none'"),
            (MethodOptions { lambda: Some(-1.0), ..irp() }, "lambda"),
            (MethodOptions { lambda: Some(f64::INFINITY), ..irp() }, "lambda"),
            (MethodOptions { method: Some("ridge".into()), lambda: Some(0.0), ..Default::default() }, "'linear'"),
            (
                MethodOptions { method: Some("linear".into()), lambda: Some(0.1), ..Default::default() },
                "'irp' and 'ridge'",
            ),
            (MethodOptions { scale: Some("max".into()), ..irp() }, "'energy'"),
            (
                MethodOptions { method: Some("affine".into()), scale: Some("none".into()), ..Default::default() },
                "own lengths",
            ),
            (MethodOptions { omega: Some(8), ..Default::default() }, "`omega` is an option of method 'irp'"),
            (MethodOptions { preset: Some("best".into()), ..Default::default() }, "preset"),
        ] {
            assert!(method(bad.clone()).unwrap_err().contains(word), "{bad:?}");
        }
    }
}
