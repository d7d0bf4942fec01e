//! One integration binary: each module proves one part from outside.

mod sink;
