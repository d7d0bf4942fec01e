//! Everything that is tested from outside, in one binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod anchors;
mod bad_input;
mod columns;
mod confidence;
mod describe;
mod eval;
mod figures;
mod fit;
mod guard;
mod heads;
mod hub;
mod import;
mod inputs;
mod kills;
mod lake;
mod layers;
mod mutations;
mod nearest;
mod pipeline;
mod registry;
mod report;
mod s3;
mod s3_server;
#[cfg(feature = "encode")]
mod scale_study;
mod signals;
mod sink;
mod slt;
mod sql;
mod stored;
mod sweep;
mod tables;
mod tester;
mod translate;
mod writers;
