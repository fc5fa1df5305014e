//! What a user may ask of their own data: a copy ([`exports`]), and its end ([`erasures`], [`steps`], [`places`]).
//!
//! Everything here goes through the data in pages of bounded size, by key, and can go on from where it was.

pub mod erasures;
pub mod exports;
pub mod pages;
pub mod places;
pub mod steps;
