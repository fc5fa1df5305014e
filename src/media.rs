//! Files: what they are, and where their bytes are kept.

#![expect(dead_code, unused_imports, reason = "nothing takes uploads yet")]

pub mod inspect;
