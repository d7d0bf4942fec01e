//! Classification heads: layers `f(x W + b)`, the last of which gives a logit for each class.
//!
//! Applied in `f32` by the product of [`super::block`]: a row's logits do not depend on its batch.

pub mod train;

use super::block::{Factor, Scratch, multiply};
use super::translate::NotFinite;

/// What a layer does to each of its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `tanh(x)`.
    Tanh,
    /// `cos(x)`.
    Cos,
}

impl Activation {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 4] =
        [("identity", Self::Identity), ("relu", Self::Relu), ("tanh", Self::Tanh), ("cos", Self::Cos)];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, activation)| activation)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => x.max(0.0),
            Self::Tanh => x.tanh(),
            Self::Cos => x.cos(),
        }
    }

    /// Its derivative at `x`.
    fn slope(self, x: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => f32::from(u8::from(x > 0.0)),
            Self::Tanh => 1.0 - x.tanh().powi(2),
            Self::Cos => -x.sin(),
        }
    }
}

/// A layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Numbers that go in.
    pub inputs: usize,
    /// Numbers that come out.
    pub outputs: usize,
    /// What is done to each of them.
    pub activation: Activation,
    /// W, inputs x outputs, row-major.
    pub weight: Vec<f32>,
    /// b, outputs.
    pub bias: Vec<f32>,
}

/// The logits of `count` rows, row-major; `row(i)` gives row i of as many numbers as go into the first layer, or `None` for a NULL one,
/// whose logits are zeros.
pub fn logits<'r>(
    layers: &[Layer],
    count: usize,
    row: impl Fn(usize) -> Option<&'r [f32]>,
    scratch: &mut Scratch,
) -> Result<Vec<f32>, NotFinite> {
    let Some((first, rest)) = layers.split_first() else { return Ok(Vec::new()) };
    let fill = |i: usize, input: &mut [f32]| {
        match row(i) {
            Some(v) if v.iter().all(|x| x.is_finite()) => input.copy_from_slice(v),
            Some(_) => return Err(NotFinite { row: i }),
            None => input.fill(0.0),
        }
        Ok(())
    };
    let mut values = apply(first, count, scratch, fill)?;
    for layer in rest {
        values = apply(layer, count, scratch, |i, input| {
            input.copy_from_slice(&values[i * layer.inputs..][..layer.inputs]);
            Ok(())
        })?;
    }
    let classes = layers.last().map_or(0, |last| last.outputs);
    for (i, logits) in values.chunks_exact_mut(classes.max(1)).enumerate() {
        if row(i).is_none() {
            logits.fill(0.0);
        }
    }
    Ok(values)
}

fn apply(
    layer: &Layer,
    count: usize,
    scratch: &mut Scratch,
    fill: impl FnMut(usize, &mut [f32]) -> Result<(), NotFinite>,
) -> Result<Vec<f32>, NotFinite> {
    let mut out = vec![0.0; count * layer.outputs];
    let finish = |_: usize, sums: &mut [f32]| {
        for (sum, &bias) in sums.iter_mut().zip(&layer.bias) {
            *sum = layer.activation.apply(*sum + bias);
        }
    };
    let shape = (layer.inputs, layer.outputs);
    multiply(count, shape, Factor::Plain(&layer.weight), scratch, &mut out, fill, finish)?;
    Ok(out)
}

/// `softmax(logits / temperature)`, in `f64` and in place of the logits.
pub fn softmax(logits: &mut [f32], temperature: f64) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp = |&x: &f32| (f64::from(x - most) / temperature).exp();
    let sum: f64 = logits.iter().map(exp).sum();
    logits.iter_mut().for_each(|x| *x = (exp(x) / sum) as f32);
}

/// The class of the highest logit, the first of equal ones.
pub fn highest(logits: &[f32]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (class, &logit) in logits.iter().enumerate() {
        if best.is_none_or(|(_, most)| logit > most) {
            best = Some((class, logit));
        }
    }
    best.map(|(class, _)| class)
}

/// The class of each of `count` rows, see [`logits`].
pub fn classes<'r>(
    layers: &[Layer],
    count: usize,
    row: impl Fn(usize) -> Option<&'r [f32]>,
    scratch: &mut Scratch,
) -> Result<Vec<Option<usize>>, NotFinite> {
    let width = layers.last().map_or(1, |last| last.outputs).max(1);
    Ok(logits(layers, count, row, scratch)?.chunks_exact(width).map(highest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{Random, bits};

    fn layer(random: &mut Random, inputs: usize, outputs: usize, activation: Activation) -> Layer {
        Layer { inputs, outputs, activation, weight: random.rows(inputs, outputs), bias: random.rows(1, outputs) }
    }

    #[test]
    fn rescaled_logits_are_another_temperature() {
        let mut random = Random(3);
        for alpha in [0.25f32, 2.0, 7.0] {
            let logits = random.rows(1, 12);
            let (mut scaled, mut plain) = (logits.iter().map(|x| alpha * x).collect::<Vec<_>>(), logits);
            softmax(&mut scaled, 1.0);
            softmax(&mut plain, 1.0 / f64::from(alpha));
            assert!(scaled.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-6), "{alpha}");
            assert!((plain.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn logits_are_those_of_plain_loops_in_every_batch() {
        let mut random = Random(4);
        for activation in Activation::ALL.map(|(_, activation)| activation) {
            let layers = [layer(&mut random, 9, 7, activation), layer(&mut random, 7, 3, Activation::Identity)];
            let rows = random.rows(300, 9);
            let row = |i: usize| (i != 5).then(|| &rows[i * 9..(i + 1) * 9]);
            let all = logits(&layers, 300, row, &mut Scratch::default()).unwrap();
            assert_eq!(all[5 * 3..6 * 3], [0.0; 3]);
            let alone = logits(&layers, 1, |_| row(17), &mut Scratch::default()).unwrap();
            assert_eq!(bits(&alone), bits(&all[17 * 3..18 * 3]));
            let mut values = row(17).unwrap().to_vec();
            for layer in &layers {
                let sum = |j: usize| -> f32 {
                    (0..layer.inputs).map(|i| values[i] * layer.weight[i * layer.outputs + j]).sum()
                };
                values = (0..layer.outputs).map(|j| layer.activation.apply(sum(j) + layer.bias[j])).collect();
            }
            assert!(values.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-4));
        }
        assert_eq!(highest(&[1.0, 3.0, 3.0]), Some(1));
    }
}
