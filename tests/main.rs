//! Everything that is tested from outside, in one binary.

mod layers;
mod registry;
mod slt;
