//! What users may ask of their own data: a copy, and its end.

mod erasure;
mod export;
mod how_long;
mod interrupted;
mod operators;
mod places;
