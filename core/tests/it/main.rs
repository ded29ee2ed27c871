//! Tests of the public surface.

mod rules;
