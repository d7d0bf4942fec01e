//! Training a head: mean cross-entropy with a ridge, by L-BFGS over all rows (Liu and Nocedal 1989).
//!
//! Products in `f32`, a block of rows at a time; losses and gradients of parts of fixed size are summed in `f64` in their order, so that
//! the same rows give the same head whatever the number of threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use argmin::core::{CostFunction, Error as Failure, Executor, Gradient, State, TerminationReason, TerminationStatus};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::{Activation, Layer};
use crate::kernel::block::Scratch;
use crate::kernel::{Error, Rows, mean};

/// How a head is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// Numbers between the layers: of none a softmax regression.
    pub hidden: Vec<usize>,
    /// What the hidden layers do.
    pub activation: Activation,
    /// lambda: `lambda / 2 |W|^2` is added to the mean cross-entropy.
    pub l2: f64,
    /// Draws the weights that hidden layers begin with.
    pub seed: u64,
    /// Steps at most.
    pub iterations: u64,
    /// The length of the gradient, of the mean loss, at which training ends.
    pub tolerance: f64,
}

impl Default for Training {
    /// A softmax regression as `emb_head` trains it where nothing is said.
    fn default() -> Self {
        Self { hidden: Vec::new(), activation: Activation::Relu, l2: 1e-4, seed: 0, iterations: 500, tolerance: 1e-4 }
    }
}

/// What training came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The layers.
    pub layers: Vec<Layer>,
    /// The loss at the end, the ridge included.
    pub loss: f64,
    /// Steps taken.
    pub iterations: u64,
    /// Whether the gradient came down to the tolerance, or no step made the loss any less.
    pub converged: bool,
    /// The share of rows that get their own class.
    pub accuracy: f64,
}

/// How far a training is, for whoever waits for it.
#[derive(Debug, Default)]
pub struct Progress {
    evaluations: AtomicU64,
    /// The bits of the loss.
    loss: AtomicU64,
}

impl Progress {
    /// How often the loss was evaluated, and what it was at last; `None` before the first time.
    pub fn now(&self) -> Option<(u64, f64)> {
        let evaluations = self.evaluations.load(Ordering::Relaxed);
        (evaluations > 0).then(|| (evaluations, f64::from_bits(self.loss.load(Ordering::Relaxed))))
    }

    /// As before the first time.
    fn reset(&self) {
        self.evaluations.store(0, Ordering::Relaxed);
    }

    fn tell(&self, loss: f64) {
        self.loss.store(loss.to_bits(), Ordering::Relaxed);
        self.evaluations.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a training ends with that cannot go on.
const NOT_FINITE: &str = "the loss is not finite: the rows, or their scale, are too large";

/// Rows of a block: their numbers stay in the cache between the two products.
const BLOCK: usize = 512;
/// Rows whose gradients are summed in `f32`.
const PART: usize = 8192;
/// Steps that L-BFGS remembers.
const MEMORY: usize = 10;

/// Trains a head that tells `classes` classes apart; row i is of class `of[i]`. Rows are finite.
pub fn train(
    rows: Rows<'_>,
    of: &[usize],
    classes: usize,
    training: &Training,
    progress: &Progress,
) -> Result<Trained, Error> {
    let problem = Problem::new(rows, of, classes, (training, progress));
    let begin = problem.begin();
    let search = MoreThuenteLineSearch::new();
    let solver = LBFGS::new(search, MEMORY)
        .with_tolerance_grad(training.tolerance)
        .and_then(|solver| solver.with_tolerance_cost(f64::EPSILON));
    let not_finite = |error: Failure| Error::Training(error.to_string());
    let executor = Executor::new(&problem, solver.map_err(not_finite)?);
    let ended = executor.configure(|state| state.param(begin).max_iters(training.iterations)).timer(false).run();
    progress.reset();
    let ended = ended.map_err(not_finite)?;
    let state = ended.state();
    let Some(param) = state.get_best_param() else { return Err(Error::Training("no step could be taken".to_owned())) };
    let loss = state.get_best_cost();
    if !loss.is_finite() {
        return Err(Error::Training(NOT_FINITE.to_owned()));
    }
    let converged =
        !matches!(state.get_termination_status(), TerminationStatus::Terminated(TerminationReason::MaxItersReached));
    let layers = problem.plain(problem.layers(param));
    let right = problem.right(&layers);
    Ok(Trained {
        loss,
        iterations: state.get_iter(),
        converged,
        accuracy: right as f64 / rows.len().max(1) as f64,
        layers,
    })
}

/// The loss over all rows as a function of all weights.
struct Problem<'a> {
    rows: Rows<'a>,
    of: &'a [usize],
    /// Numbers in a row, between layers, and of classes.
    widths: Vec<usize>,
    activation: Activation,
    l2: f64,
    seed: u64,
    /// Taken from rows before the first layer, in thought: without hidden layers that changes biases alone, and steps come nearer.
    center: Vec<f32>,
    /// Rows are divided by this, in thought: the deviation of their numbers.
    scale: f64,
    progress: &'a Progress,
    /// What was evaluated last: a search asks for the loss and for the gradient of the same weights.
    latest: Mutex<Option<(Vec<f64>, Evaluated)>>,
}

/// The loss and its gradient.
type Evaluated = (f64, Vec<f64>);

impl<'a> Problem<'a> {
    fn new(rows: Rows<'a>, of: &'a [usize], classes: usize, (training, progress): (&Training, &'a Progress)) -> Self {
        let mean: Vec<f32> = mean::mean(rows).into_iter().map(|m| m as f32).collect();
        let squares = |row: &[f32]| -> f64 { row.iter().zip(&mean).map(|(&x, &m)| f64::from(x - m).powi(2)).sum() };
        let scale = (rows.iter().map(squares).sum::<f64>() / (rows.len() * rows.width()).max(1) as f64).sqrt();
        let mut widths = vec![rows.width()];
        widths.extend(&training.hidden);
        widths.push(classes);
        Self {
            rows,
            of,
            widths,
            activation: training.activation,
            l2: training.l2,
            seed: training.seed,
            center: if training.hidden.is_empty() { mean } else { vec![0.0; rows.width()] },
            scale: if scale > 0.0 { scale } else { 1.0 },
            progress,
            latest: Mutex::new(None),
        }
    }

    /// What each layer takes of all weights: its matrix, then its biases.
    fn shapes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.widths.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// Zeros without hidden layers; otherwise normal numbers drawn by the seed, `sigma^2 = 2 / inputs` (He et al. 2015; half of it where
    /// not half of the sums are cut off), and no biases.
    fn begin(&self) -> Vec<f64> {
        let mut draws = blake3::Hasher::new().update(b"head").update(&self.seed.to_le_bytes()).finalize_xof();
        let mut uniform = || {
            let mut bytes = [0; 8];
            draws.fill(&mut bytes);
            ((u64::from_le_bytes(bytes) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        let gain = if self.activation == Activation::Relu { 2.0 } else { 1.0 };
        let mut param = Vec::new();
        for (inputs, outputs) in self.shapes() {
            if self.widths.len() == 2 {
                param.extend(vec![0.0; inputs * outputs]);
            } else {
                let sigma = (gain / inputs as f64).sqrt();
                // Box and Muller 1958.
                let mut normal = || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
                param.extend((0..inputs * outputs).map(|_| sigma * normal()));
            }
            param.extend(vec![0.0; outputs]);
        }
        param
    }

    /// The layers of these weights, for rows less the centre and divided by the scale.
    fn layers(&self, param: &[f64]) -> Vec<Layer> {
        let (mut rest, last) = (param, self.widths.len() - 2);
        let layer = |(i, (inputs, outputs)): (usize, (usize, usize))| {
            let (weight, after) = rest.split_at(inputs * outputs);
            let (bias, after) = after.split_at(outputs);
            rest = after;
            let narrow = |numbers: &[f64]| numbers.iter().map(|&x| x as f32).collect();
            let activation = if i == last { Activation::Identity } else { self.activation };
            Layer { inputs, outputs, activation, weight: narrow(weight), bias: narrow(bias) }
        };
        self.shapes().enumerate().map(layer).collect()
    }

    /// The same layers for rows as they are.
    fn plain(&self, mut layers: Vec<Layer>) -> Vec<Layer> {
        if let Some(first) = layers.first_mut() {
            let scale = self.scale as f32;
            first.weight.iter_mut().for_each(|w| *w /= scale);
            let mut shift = vec![0.0f64; first.outputs];
            for (&m, weights) in self.center.iter().zip(first.weight.chunks_exact(first.outputs.max(1))) {
                shift.iter_mut().zip(weights).for_each(|(sum, &w)| *sum += f64::from(m) * f64::from(w));
            }
            first.bias.iter_mut().zip(shift).for_each(|(bias, shift)| *bias = (f64::from(*bias) - shift) as f32);
        }
        layers
    }

    fn evaluate(&self, param: &[f64]) -> Evaluated {
        let layers = self.plain(self.layers(param));
        let parts: Vec<usize> = (0..self.rows.len()).step_by(PART).collect();
        let parts = parts.into_par_iter().map(|first| self.part(&layers, first)).collect::<Vec<_>>();
        let (mut loss, mut gradient) = (0.0, vec![0.0; param.len()]);
        for (part_loss, part) in parts {
            loss += part_loss;
            gradient.iter_mut().zip(part).for_each(|(sum, x)| *sum += f64::from(x));
        }
        let n = self.rows.len().max(1) as f64;
        loss /= n;
        gradient.iter_mut().for_each(|x| *x /= n);
        self.of_normal_rows(&mut gradient);
        let mut at = 0;
        for (i, (inputs, outputs)) in self.shapes().enumerate() {
            // The ridge is on the weights for rows as they are.
            let l2 = if i == 0 { self.l2 / self.scale.powi(2) } else { self.l2 };
            for place in at..at + inputs * outputs {
                loss += l2 / 2.0 * param[place].powi(2);
                gradient[place] += l2 * param[place];
            }
            at += inputs * outputs + outputs;
        }
        (loss, gradient)
    }

    /// From the gradient by the first layer for rows as they are to that by the one for rows less the centre, by the scale.
    fn of_normal_rows(&self, gradient: &mut [f64]) {
        let (inputs, outputs) = (self.widths[0], self.widths[1]);
        let (weight, bias) = gradient.split_at_mut(inputs * outputs);
        for (&m, row) in self.center.iter().zip(weight.chunks_exact_mut(outputs.max(1))) {
            for (w, &b) in row.iter_mut().zip(bias.iter()) {
                *w = (*w - f64::from(m) * b) / self.scale;
            }
        }
    }

    /// The sum of the losses of a part's rows, and of their gradients.
    fn part(&self, layers: &[Layer], first: usize) -> (f64, Vec<f32>) {
        let end = (first + PART).min(self.rows.len());
        let mut gradient = vec![0.0f32; layers.iter().map(|layer| layer.weight.len() + layer.bias.len()).sum()];
        let mut loss = 0.0;
        let mut pass = Pass::new(layers);
        for from in (first..end).step_by(BLOCK) {
            let block = from..(from + BLOCK).min(end);
            let rows = &self.rows.as_slice()[block.start * self.widths[0]..block.end * self.widths[0]];
            loss += pass.forward(layers, rows, &self.of[block]);
            pass.backward(layers, rows, &mut gradient);
        }
        (loss, gradient)
    }

    /// Rows that get their own class.
    fn right(&self, layers: &[Layer]) -> usize {
        let parts: Vec<usize> = (0..self.rows.len()).step_by(PART).collect();
        let of_part = |&first: &usize| {
            let end = (first + PART).min(self.rows.len());
            let row = |i: usize| Some(self.rows.row(first + i));
            let found = super::classes(layers, end - first, row, &mut Scratch::default()).unwrap_or_default();
            found.iter().zip(&self.of[first..end]).filter(|(found, own)| **found == Some(**own)).count()
        };
        parts.par_iter().map(of_part).sum()
    }
}

impl CostFunction for &Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, param: &Self::Param) -> Result<f64, Failure> {
        let evaluated = self.evaluate(param);
        let loss = evaluated.0;
        if !(loss.is_finite() && evaluated.1.iter().all(|x| x.is_finite())) {
            // The search for a step would go on for ever.
            return Err(Failure::msg(NOT_FINITE));
        }
        self.progress.tell(loss);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((param.clone(), evaluated));
        Ok(loss)
    }
}

impl Gradient for &Problem<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, param: &Self::Param) -> Result<Vec<f64>, Failure> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(match latest {
            Some((of, (_, gradient))) if of == *param => gradient,
            _ => self.evaluate(param).1,
        })
    }
}

/// The numbers of a block of rows on their way through the layers and back.
struct Pass {
    /// Of each layer: what goes into its activation, rows x outputs.
    sums: Vec<Vec<f32>>,
    /// What comes out; of the last, the differences of softmax and truth.
    values: Vec<Vec<f32>>,
}

impl Pass {
    fn new(layers: &[Layer]) -> Self {
        let empty = || layers.iter().map(|layer| vec![0.0; BLOCK * layer.outputs]).collect();
        Self { sums: empty(), values: empty() }
    }

    /// The sum of the losses of the block's rows.
    fn forward(&mut self, layers: &[Layer], rows: &[f32], of: &[usize]) -> f64 {
        for (i, layer) in layers.iter().enumerate() {
            let (before, here) = self.values.split_at_mut(i);
            let input = before.last().map_or(rows, |values| &values[..of.len() * layer.inputs]);
            let (sums, values) =
                (&mut self.sums[i][..of.len() * layer.outputs], &mut here[0][..of.len() * layer.outputs]);
            let shape = (of.len(), layer.inputs, layer.outputs);
            product(sums, Accum::Replace, (input, false), (&layer.weight, false), shape);
            for (sums, values) in
                sums.chunks_exact_mut(layer.outputs.max(1)).zip(values.chunks_exact_mut(layer.outputs.max(1)))
            {
                for ((sum, value), &bias) in sums.iter_mut().zip(values).zip(&layer.bias) {
                    *sum += bias;
                    *value = layer.activation.apply(*sum);
                }
            }
        }
        let classes = layers.last().map_or(1, |last| last.outputs).max(1);
        let Some(last) = self.values.last_mut() else { return 0.0 };
        let mut loss = 0.0;
        for (logits, &own) in last.chunks_exact_mut(classes).zip(of) {
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = logits.iter().map(|&x| f64::from(x - most).exp()).sum();
            loss += sum.ln() - f64::from(logits[own] - most);
            logits.iter_mut().for_each(|x| *x = (f64::from(*x - most).exp() / sum) as f32);
            logits[own] -= 1.0;
        }
        loss
    }

    /// Adds the block's gradient.
    fn backward(&mut self, layers: &[Layer], rows: &[f32], gradient: &mut [f32]) {
        let count = rows.len() / layers.first().map_or(1, |first| first.inputs).max(1);
        let mut end = gradient.len();
        for (i, layer) in layers.iter().enumerate().rev() {
            let (before, here) = self.values.split_at_mut(i);
            let delta = &here[0][..count * layer.outputs];
            let (weights, biases) = (layer.weight.len(), layer.bias.len());
            let (weight, bias) = gradient[end - weights - biases..end].split_at_mut(weights);
            end -= weights + biases;
            let input = before.last().map_or(rows, |values| &values[..count * layer.inputs]);
            product(weight, Accum::Add, (input, true), (delta, false), (layer.inputs, count, layer.outputs));
            for delta in delta.chunks_exact(layer.outputs.max(1)) {
                bias.iter_mut().zip(delta).for_each(|(sum, &x)| *sum += x);
            }
            if let (Some(values), Some(below)) = (before.last_mut(), i.checked_sub(1)) {
                let values = &mut values[..count * layer.inputs];
                product(
                    values,
                    Accum::Replace,
                    (delta, false),
                    (&layer.weight, true),
                    (count, layer.outputs, layer.inputs),
                );
                let slopes = self.sums[below].iter().map(|&sum| layers[below].activation.slope(sum));
                values.iter_mut().zip(slopes).for_each(|(value, slope)| *value *= slope);
            }
        }
    }
}

/// `out = a b` or `out += a b`, m x k and k x n, all row-major; `true` where what is given is the transpose.
fn product(
    out: &mut [f32],
    accumulate: Accum,
    (a, a_transposed): (&[f32], bool),
    (b, b_transposed): (&[f32], bool),
    (m, k, n): (usize, usize, usize),
) {
    let of = |data, rows, columns, transposed: bool| match transposed {
        false => MatRef::from_row_major_slice(data, rows, columns),
        true => MatRef::from_row_major_slice(data, columns, rows).transpose(),
    };
    let out = MatMut::from_row_major_slice_mut(out, m, n);
    matmul(out, accumulate, of(a, m, k, a_transposed), of(b, k, n, b_transposed), 1.0f32, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, Random, assert_near, wide, with_threads};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        rows: golden::Matrix,
        of: Vec<usize>,
        classes: usize,
        l2: f64,
        loss: f64,
        weight: golden::Matrix,
        bias: Vec<f64>,
    }

    fn plain(hidden: &[usize], activation: Activation, l2: f64) -> Training {
        Training { hidden: hidden.to_vec(), activation, l2, seed: 1, iterations: 2000, tolerance: 1e-6 }
    }

    /// The optimum is one, up to what is added to all classes alike.
    #[test]
    fn softmax_regressions_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../../tests/golden/head.json")) {
            let rows = case.rows.narrow();
            let rows = Rows::new(&rows, case.rows.columns);
            let trained =
                train(rows, &case.of, case.classes, &plain(&[], Activation::Relu, case.l2), &Progress::default())
                    .unwrap();
            assert!(trained.converged, "{}", case.name);
            assert!(
                (trained.loss - case.loss).abs() < 1e-5 * case.loss.max(1.0),
                "{}: {} {}",
                case.name,
                trained.loss,
                case.loss
            );
            assert_near(&wide(&trained.layers[0].weight), &case.weight.data, 2e-2, &case.name);
            let centred = |bias: &[f64]| {
                let mean = bias.iter().sum::<f64>() / bias.len() as f64;
                bias.iter().map(|b| b - mean).collect::<Vec<_>>()
            };
            assert_near(&centred(&wide(&trained.layers[0].bias)), &centred(&case.bias), 2e-2, &case.name);
        }
    }

    /// Against differences of losses, which are exact to the precision of the products.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let mut random = Random(9);
        let (n, d, classes) = (700, 6, 3);
        let values = random.rows(n, d);
        let of: Vec<usize> = (0..n).map(|i| i % classes).collect();
        for activation in [Activation::Relu, Activation::Tanh, Activation::Cos] {
            for hidden in [&[][..], &[5, 4][..]] {
                let progress = Progress::default();
                let problem =
                    Problem::new(Rows::new(&values, d), &of, classes, (&plain(hidden, activation, 0.3), &progress));
                let mut param = problem.begin();
                for (i, x) in param.iter_mut().enumerate() {
                    *x += 0.1 * ((i * 37 % 11) as f64 - 5.0) / 5.0;
                }
                let (_, gradient) = problem.evaluate(&param);
                for place in (0..param.len()).step_by(7) {
                    let step = 2e-2;
                    let at = |by: f64| {
                        let mut moved = param.clone();
                        moved[place] += by;
                        problem.evaluate(&moved).0
                    };
                    // Of fourth order.
                    let slope = (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step);
                    let tolerance = if activation == Activation::Relu { 2e-2 } else { 2e-3 };
                    assert!(
                        (slope - gradient[place]).abs() < tolerance,
                        "{activation:?} {hidden:?} {place}: {slope} {}",
                        gradient[place]
                    );
                }
            }
        }
    }

    #[test]
    fn a_network_learns_what_no_line_tells_apart_and_threads_change_nothing() {
        let mut random = Random(10);
        let (n, d) = (9000, 4);
        let values: Vec<f32> = (0..n * d).map(|_| random.normal() as f32).collect();
        let rows = Rows::new(&values, d);
        let of: Vec<usize> = rows.iter().map(|row| usize::from(row[0] * row[1] > 0.0)).collect();
        let line = train(rows, &of, 2, &plain(&[], Activation::Relu, 1e-4), &Progress::default()).unwrap();
        assert!(line.accuracy < 0.6, "{}", line.accuracy);
        for activation in [Activation::Relu, Activation::Tanh, Activation::Cos] {
            let training = Training { iterations: 40, ..plain(&[12, 12], activation, 1e-5) };
            let trained = with_threads(1, || train(rows, &of, 2, &training, &Progress::default()).unwrap());
            assert!(trained.accuracy > 0.9, "{activation:?} {}", trained.accuracy);
            let few = Training { iterations: 3, ..training };
            let alone = with_threads(1, || train(rows, &of, 2, &few, &Progress::default()).unwrap());
            assert_eq!(with_threads(2, || train(rows, &of, 2, &few, &Progress::default()).unwrap()), alone);
        }
    }

    #[test]
    fn rows_that_overflow_end() {
        for (values, hidden) in [([3e38, 3e38, -3e38, 3e38], &[][..]), ([f32::MAX, 0.0, 0.0, f32::MAX], &[4, 4])] {
            let training = plain(hidden, Activation::Relu, 1e-4);
            let found = train(Rows::new(&values, 2), &[0, 1], 2, &training, &Progress::default());
            let ended = match &found {
                Ok(trained) => trained.loss.is_finite(),
                Err(error) => error.to_string().contains("not finite"),
            };
            assert!(ended, "{found:?}");
        }
    }
}
