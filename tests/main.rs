//! One integration binary: each module proves one part from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod pipeline;
mod sink;
mod sql;
mod tester;
