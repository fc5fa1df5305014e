//! What others see: frames, bodies, event payloads, subjects, codes.
//!
//! The types here mirror the published contract and hold no rules; they convert from and to [`crate::domain`].

pub mod answers;
pub mod communities;
pub mod control;
pub mod devices;
pub mod erasure;
pub mod error;
pub mod event;
pub mod frames;
pub mod ingest;
pub mod media;
pub mod metadata;
pub mod names;
pub mod objects;
pub mod own_data;
pub mod presence;
pub mod requests;
pub mod safety;
pub mod schemas;
pub mod search;
pub mod subjects;
pub mod time;
