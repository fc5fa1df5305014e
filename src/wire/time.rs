//! Times on the wire: RFC 3339 in UTC with milliseconds, `2026-11-22T09:00:00.000Z`.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serializer};

/// The text of a time.
pub fn format(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// How schemas describe a time that we write.
pub struct Time;

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        })
    }
}

/// For `#[serde(with = "time")]`.
pub fn serialize<S: Serializer>(at: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&format_args!("{at:.3}"))
}

/// For `#[serde(with = "time")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
    Timestamp::deserialize(input)
}

/// For `#[serde(with = "time::option")]`.
pub mod option {
    use super::*;

    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::serialize(at, out),
            None => out.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
        Option::deserialize(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_exactly_three_decimals() {
        let at = Timestamp::from_millisecond(1_795_338_000_000).expect("in range");
        assert_eq!(format(at), "2026-11-22T09:00:00.000Z");
        let at: Timestamp = "2026-11-22T09:00:00.123987Z".parse().expect("a time");
        assert_eq!(format(at), "2026-11-22T09:00:00.123Z");
    }
}
