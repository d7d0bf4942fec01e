//! The batch job: files in, the same files out.
