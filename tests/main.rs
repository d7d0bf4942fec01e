//! The integration tests: the binary and the library as a user meets them.

mod tester;

mod bad_input;
mod describe;
mod fit;
mod translate;
