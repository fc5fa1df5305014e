//! Files: a look at what they are, and where their bytes are kept.
//!
//! An upload is spooled to a file on this machine's disk ([`spool`]), looked at and freed of what gives its owner away
//! ([`inspect`], in the [`workshop`]), and only then put into the object store ([`objects`]). Who may have it is
//! decided elsewhere; [`links`] signs links for those who may.
//!
//! *Invariant:* only this module names the object store, and keys are random: nothing that a client sends becomes part
//! of a path.

pub mod accept;
pub mod inspect;
pub mod links;
pub mod objects;
pub mod ranges;
pub mod spool;
pub mod workshop;
