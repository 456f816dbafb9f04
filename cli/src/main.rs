//! The `xcloud` command.

fn main() {}
