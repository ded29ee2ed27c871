//! Tests of the public surface.

mod reading;
mod rules;
