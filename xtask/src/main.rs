//! Tree checks.
fn main() {}
