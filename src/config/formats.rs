//! How settings are written: durations, comma-separated lists, and "" for "not set".

/// Durations such as "250ms", "5s", "24h".
pub mod duration {
    use std::time::Duration;

    use jiff::SignedDuration;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&show(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "`{text}` is not a duration such as \"250ms\", \"5s\" or \"24h\""
            ))
        })
    }

    /// `None` for what is not a duration, or is negative.
    pub fn parse(text: &str) -> Option<Duration> {
        let signed: SignedDuration = text.trim().parse().ok()?;
        Duration::try_from(signed).ok()
    }

    /// The shortest exact form in one unit, from hours down to milliseconds.
    pub fn show(value: Duration) -> String {
        let ms = value.as_millis();
        match ms {
            0 => "0s".to_owned(),
            _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
            _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
            _ => format!("{ms}ms"),
        }
    }
}

/// A list, or a comma-separated string of the same.
pub mod list {
    use serde::{Deserialize, Deserializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Many(Vec<String>),
        One(String),
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        let items = match Either::deserialize(deserializer)? {
            Either::Many(items) => items,
            Either::One(text) => text.split(',').map(str::to_owned).collect(),
        };
        Ok(items
            .iter()
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect())
    }
}

/// A value that may be absent, written as an empty string.
pub mod optional {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_str(""),
        }
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        match text.trim() {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|error| de::Error::custom(format!("`{text}`: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::duration::{parse, show};

    #[test]
    fn a_duration_reads_back_as_it_was_shown() {
        for text in ["250ms", "5s", "10m", "24h", "90s", "0s"] {
            let value = parse(text).expect("a duration");
            assert_eq!(parse(&show(value)), Some(value), "{text}");
        }
        assert_eq!(parse("1500ms"), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "5", "soon", "-5s", "5 parsecs"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
