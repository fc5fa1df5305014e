//! The parts of the service that one process may run, each of which scales alone.

use clap::ValueEnum;

/// A part of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Talks to clients.
    Edge,
    /// Writes the log into Postgres.
    Persister,
    /// Takes what other services say.
    Ingest,
    /// Notifies devices of people who are not looking.
    Push,
}

/// The roles of this process.
#[derive(Debug, Clone)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// `chosen`, or every role if none was chosen.
    pub fn new(chosen: Vec<Role>) -> Self {
        Self(if chosen.is_empty() { Role::value_variants().to_vec() } else { chosen })
    }

    /// What they are called.
    pub fn names(&self) -> Vec<&'static str> {
        let name = |role: &Role| match role {
            Role::Edge => "edge",
            Role::Persister => "persister",
            Role::Ingest => "ingest",
            Role::Push => "push",
        };
        self.0.iter().map(name).collect()
    }

    /// Whether this process plays `role`.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }
}
