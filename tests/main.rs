//! The integration tests: the binary and the library as a user meets them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod tester;

mod bad_input;
mod describe;
mod fit;
mod translate;
