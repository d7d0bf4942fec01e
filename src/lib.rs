//! babelake translates lakes of embeddings: Parquet tables of one encoder's vectors become tables of another's.
//!
//! The library is a set of DataFusion functions ([`functions`]) over embedding columns ([`column`](mod@column)), the mathematics
//! behind them ([`kernel`]), the jobs that run them over files ([`lake`], [`pipeline`]), and figures of what these measure
//! ([`report`]). [`session`] puts them together.
//!
//! A file imports only from the layers to its left:
//!
//! ```text
//! kernel  <  error  <  column  <  functions  <  session  <  lake, pipeline  <  report  <  cli  <  main
//! ```

pub mod kernel;

pub mod error;

pub mod column;

pub mod functions;

pub mod session;

pub mod lake;
pub mod pipeline;

pub mod report;

pub mod cli;

pub use error::{Error, Result};
