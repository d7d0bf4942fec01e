//! SQL scripts with parameters.
