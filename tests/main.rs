//! Everything that is tested from outside, in one binary.

mod layers;
mod pipeline;
mod registry;
mod sink;
mod slt;
mod sql;
mod stored;
mod tester;
