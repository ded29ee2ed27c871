//! What is legal but suspicious.
