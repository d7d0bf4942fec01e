//! The SQL functions, one a file, named as in SQL.
//!
//! The edge contract is the same for all: a NULL row gives NULL; a wrong length, a NULL or a non-finite item is an error that
//! names function, argument and row; the zero vector has no direction and normalises to NULL; a row that equals the mean
//! translates to the target's mean; batches and partitions do not change a number.

mod aggregate;
mod arguments;
mod collect;
mod heads;
mod measures;
mod memo;
mod moments;
mod options;
mod rows;
mod scalar;
#[cfg(test)]
mod tests;

mod emb_center;
mod emb_cka;
mod emb_classify;
mod emb_confidence;
mod emb_cosine;
mod emb_decode;
mod emb_decoder;
mod emb_describe;
mod emb_fit;
mod emb_head;
mod emb_knn_overlap;
mod emb_logits;
mod emb_mean;
mod emb_mixed;
mod emb_nearest;
mod emb_norm;
mod emb_normalize;
mod emb_probabilities;
mod emb_prune;
mod emb_queries;
mod emb_relative;
mod emb_require;
mod emb_rescale;
mod emb_retrieval;
mod emb_scale;
mod emb_similarity;
mod emb_space;
mod emb_svcca;
mod emb_translate;
mod emb_translator;
pub mod wikimatrix;

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use crate::Result;
use crate::kernel::head::train::Progress;
use aggregate::udaf;
use scalar::udf;

/// The scalar functions, new: what each remembers of fits is its own.
pub fn scalars() -> Vec<ScalarUDF> {
    vec![
        udf(emb_center::EmbCenter),
        udf(emb_classify::EmbClassify::default()),
        udf(emb_confidence::EmbConfidence::default()),
        udf(emb_cosine::EmbCosine),
        udf(emb_decode::EmbDecode::default()),
        udf(emb_decoder::EmbDecoder::default()),
        udf(emb_describe::EmbDescribe),
        udf(emb_logits::EmbLogits::default()),
        udf(emb_norm::EmbNorm),
        udf(emb_normalize::EmbNormalize),
        udf(emb_probabilities::EmbProbabilities::default()),
        udf(emb_prune::EmbPrune::default()),
        udf(emb_relative::EmbRelative::default()),
        udf(emb_require::EmbRequire),
        udf(emb_rescale::EmbRescale),
        udf(emb_translate::EmbTranslate::default()),
        udf(emb_translator::EmbTranslator::default()),
    ]
}

/// The aggregate functions; `progress` is that of the heads that are trained.
pub fn aggregates(progress: &Arc<Progress>) -> Vec<AggregateUDF> {
    vec![
        udaf(emb_cka::EmbCka),
        udaf(emb_fit::EmbFit),
        udaf(emb_head::EmbHead { progress: Arc::clone(progress) }),
        udaf(emb_knn_overlap::EmbKnnOverlap),
        udaf(emb_mean::EmbMean),
        udaf(emb_mixed::EmbMixed),
        udaf(emb_nearest::EmbNearest),
        udaf(emb_queries::EmbQueries),
        udaf(emb_retrieval::EmbRetrieval),
        udaf(emb_scale::EmbScale),
        udaf(emb_similarity::EmbSimilarity),
        udaf(emb_space::EmbSpace),
        udaf(emb_svcca::EmbSvcca),
    ]
}

/// Registers every function with a session context, a session state or a worker.
///
/// Returns the progress of the heads that `emb_head` trains there.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<Arc<Progress>> {
    for function in scalars() {
        registry.register_udf(Arc::new(function))?;
    }
    let progress = Arc::default();
    for function in aggregates(&progress) {
        registry.register_udaf(Arc::new(function))?;
    }
    Ok(progress)
}
