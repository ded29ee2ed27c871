//! Every check.
