mod domain;
mod store;
mod wire;

fn main() {}
