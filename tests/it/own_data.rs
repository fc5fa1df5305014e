//! What users may ask of their own data: a copy, and its end.

mod erasure;
mod export;
mod operators;
mod places;
