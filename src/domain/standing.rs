//! Whether a user may take part.

use jiff::Timestamp;

/// What an operator has decided about a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Active,
    /// Until then; without a time, until an operator restores the user.
    Suspended {
        until: Option<Timestamp>,
    },
    Banned,
}

impl Standing {
    /// The name of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended { .. } => "suspended",
            Self::Banned => "banned",
        }
    }

    /// Reads a state's name; `until` counts for a suspension only.
    pub fn parse(name: &str, until: Option<Timestamp>) -> Option<Self> {
        match name {
            "active" => Some(Self::Active),
            "suspended" => Some(Self::Suspended { until }),
            "banned" => Some(Self::Banned),
            _ => None,
        }
    }

    /// When a suspension ends by itself.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Self::Suspended { until } => until,
            Self::Active | Self::Banned => None,
        }
    }

    /// Is the user kept out at this time?
    pub fn is_barred(self, now: Timestamp) -> bool {
        match self {
            Self::Active => false,
            Self::Suspended { until } => until.is_none_or(|until| now < until),
            Self::Banned => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_ends_at_its_time_and_a_ban_never() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let short = Standing::Suspended { until: Some(at(10)) };
        assert!(short.is_barred(at(9)) && !short.is_barred(at(10)));
        assert!(Standing::Suspended { until: None }.is_barred(at(10)));
        assert!(Standing::Banned.is_barred(at(10)) && !Standing::Active.is_barred(at(10)));
    }
}
