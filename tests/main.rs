//! Everything that is tested from outside, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod bad_input;
mod describe;
mod fit;
mod layers;
mod pipeline;
mod registry;
mod s3;
mod s3_server;
mod signals;
mod sink;
mod slt;
mod sql;
mod stored;
mod tester;
mod translate;
