//! The binary; everything is in the library, so that tests may use its parts.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    counterfoil::run().into()
}
