//! One integration binary: each module proves one part from outside.

mod pipeline;
mod sink;
mod sql;
mod tester;
