//! What only operators ask: across users and conversations, whoever is in them.
//!
//! Lists are paged by key and bounded; none of these statements is on anybody else's way.

pub mod users;
