//! Two spaces over the same anchors, and the maps between them: each space is decomposed at most once for all of them.

use std::sync::OnceLock;

use super::settings::{Map, Method, Scale};
use super::space::KeyedAnchors;
use crate::Result;
use crate::kernel::Error;
use crate::kernel::alignment::{self, Spanned};
use crate::kernel::translate::Length;
use crate::kernel::translator::{self, Fitted};

/// Two spaces whose anchors have the same keys in the same order.
#[derive(Debug)]
pub struct Pair<'a> {
    source: &'a KeyedAnchors,
    target: &'a KeyedAnchors,
    median_norm: f64,
    rcond: f64,
    source_spanned: Decomposed,
    target_spanned: Decomposed,
}

type Decomposed = OnceLock<Result<Spanned, Error>>;

/// The numbers of a translator that a method finds.
#[derive(Debug)]
pub struct Numbers {
    /// The matrix, and what its inverses were like.
    pub fitted: Fitted,
    /// What is added at the end, d_y.
    pub target_mean: Vec<f32>,
    /// See [`super::Translator::scale`].
    pub scale: f64,
    /// What the scale multiplies.
    pub length: Length,
}

impl<'a> Pair<'a> {
    /// Of anchors that [`super::keys::matches`] has brought together; `median_norm` is that of all the target's. Methods of
    /// this `rcond` can be fitted.
    pub fn new(source: &'a KeyedAnchors, target: &'a KeyedAnchors, median_norm: f64, rcond: f64) -> Self {
        Self { source, target, median_norm, rcond, source_spanned: OnceLock::new(), target_spanned: OnceLock::new() }
    }

    /// The source's anchors decomposed: what all but irp and affine begin with.
    pub(super) fn source(&self) -> Result<&Spanned, Error> {
        spanned(&self.source_spanned, self.source, self.rcond)
    }

    /// The target's: for parseval.
    pub(super) fn target(&self) -> Result<&Spanned, Error> {
        spanned(&self.target_spanned, self.target, self.rcond)
    }

    /// Fits a method. The spaces' means and scales are those of the whole spaces, also of anchors that are not here.
    pub fn fit(&self, method: &Method) -> Result<Numbers> {
        let (source, target, rcond) = (self.source, self.target, method.rcond);
        let (x, y) = (source.unit(), target.unit());
        let mut target_mean = target.mean.to_vec();
        let fitted = match method.map {
            Map::Irp(irp) => {
                let starts = target.starts(irp.omega, irp.seed);
                let pruned = if irp.prune_source { x } else { y };
                let fit = if irp.polar { translator::irp_polar } else { translator::irp };
                fit(x, y, pruned, &irp.ensemble(&starts, rcond))?
            }
            Map::Parseval => {
                let (source, target) = rayon::join(|| self.source(), || self.target());
                alignment::parseval(source?, target?)
            }
            Map::Procrustes => alignment::procrustes(self.source()?, y)?,
            Map::Linear => alignment::linear(self.source()?, y, 0.0),
            Map::Ridge { lambda } => alignment::linear(self.source()?, y, lambda),
            Map::LOrtho => alignment::l_ortho(self.source()?, y)?,
            Map::Affine => {
                let (fitted, shift) = alignment::affine(source.centred().as_ref(), target.centred().as_ref(), rcond)?;
                target_mean = target.mean.iter().zip(shift).map(|(&m, s)| (f64::from(m) + s) as f32).collect();
                fitted
            }
        };
        let (scale, length) = match (method.map, method.scale) {
            (Map::Affine, _) => (1.0, Length::Source),
            (_, Scale::MeanNorm) => (target.scale, Length::Scaled),
            (_, Scale::MedianNorm) => (self.median_norm, Length::Scaled),
            (_, Scale::Energy) => (translator::energy_scale(x, fitted.matrix.as_ref(), &target.norms), Length::Scaled),
            (_, Scale::Source) => (target.scale / source.scale, Length::Source),
            (_, Scale::Unit) => (target.scale, Length::Unit),
            (_, Scale::None) => (1.0, Length::Scaled),
        };
        Ok(Numbers { fitted, target_mean, scale, length })
    }
}

fn spanned<'a>(decomposed: &'a Decomposed, anchors: &KeyedAnchors, rcond: f64) -> Result<&'a Spanned, Error> {
    let decompose = || Spanned::of_anchors(anchors.unit(), rcond);
    decomposed.get_or_init(decompose).as_ref().map_err(Clone::clone)
}
