//! `babelake import-head`: a head that was trained elsewhere.

use std::process::ExitCode;

use super::print::print;
use super::signals::Signals;
use super::stores::StoreOptions;
use crate::column::{Keys, Kind, describe};
use crate::kernel::head::Activation;
use crate::lake::Place;
use crate::lake::import_head::{Request, import_head, store};

/// Make a head of linear layers that were trained elsewhere
///
/// Reads a safetensors file: a stack of PyTorch's Linear layers (`0.weight`, `0.bias`, `2.weight`, ...; weights are outputs x inputs), or
/// scikit-learn's logistic regression (`coef_`, `intercept_`; the one logit of two classes becomes two). Other names are
/// mapped by --layer. Builds with the feature onnx read ONNX files too: chains of Gemm, or MatMul and Add, with Relu, Tanh or Cos between them, and
/// LinearClassifier; layers, what is between them, and labels are the file's. What comes out is a head as emb_head trains it: emb_classify, emb_logits,
/// emb_probabilities.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake import-head head.safetensors -o head.parquet --activation relu --labels cat,dog,bird
  babelake import-head model.onnx -o head.parquet
  babelake import-head model.safetensors -o head.parquet --layer classifier.out_proj.weight,classifier.out_proj.bias
  python: save_file({'coef_': np.ascontiguousarray(model.coef_), 'intercept_': model.intercept_}, 'head.safetensors')
      safetensors.numpy writes memory as it lies, and scikit-learn's coefficients may lie column by column")]
pub struct Args {
    /// The file: safetensors or ONNX
    file: String,
    /// File to store the head in
    #[arg(short, long)]
    output: String,
    /// Replace the output if it exists
    #[arg(long)]
    overwrite: bool,
    /// Tensors of a layer: its weight, and its bias where it has one; once for every layer, the first one first
    #[arg(long = "layer", value_name = "WEIGHT[,BIAS]")]
    layers: Vec<String>,
    /// What is between layers: relu, tanh or cos
    #[arg(long, value_parser = activation)]
    activation: Option<Activation>,
    /// Labels of the classes, in the order of the logits [default: those in an ONNX file, or 0,1,2,...]
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    labels: Vec<String>,
    /// Name of the encoder whose vectors the head reads
    #[arg(long, value_name = "NAME", default_value = "")]
    encoder: String,
    #[command(flatten)]
    stores: StoreOptions,
}

fn activation(name: &str) -> Result<Activation, String> {
    let known = Activation::named(name).filter(|activation| *activation != Activation::Identity);
    known.ok_or_else(|| "one of relu, tanh, cos is expected".to_owned())
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let place = |text: &str| Place::new(text, &stores, runtime.handle());
    let output = place(&args.output)?;
    output.check_writable(args.overwrite)?;
    let layer = |text: &String| match text.split_once(',') {
        Some((weight, bias)) => (weight.to_owned(), Some(bias.to_owned())),
        None => (text.clone(), None),
    };
    let numbers: Result<Vec<i64>, _> = args.labels.iter().map(|label| label.parse()).collect();
    let head = import_head(&Request {
        file: place(&args.file)?,
        layers: args.layers.iter().map(layer).collect(),
        activation: args.activation,
        labels: match numbers {
            _ if args.labels.is_empty() => None,
            Ok(numbers) => Some(Keys::Int(numbers)),
            Err(_) => Some(Keys::Text(args.labels.clone())),
        },
        encoder: args.encoder.clone(),
    })?;
    let signals = Signals::listen(())?;
    // What a signal interrupts here would stay staged beside the output.
    let stoppable = signals.stoppable(|_| eprintln!("storing the head; once more to stop at once"));
    store(&head, &output, args.overwrite)?;
    drop(stoppable);
    print(&format!("{}\n", describe(Kind::Head, &head.to_array()?, 0)?))?;
    Ok(ExitCode::SUCCESS)
}
