//! What the metadata of each message type must hold.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::message::MessageType;

use super::error::FieldErrors;

/// Keys that the contract does not name, together.
const MAX_FURTHER_BYTES: usize = 4096;
/// Longest URL that browsers and proxies agree on.
const MAX_URL_CHARS: usize = 2048;
/// Longest file name of common file systems.
const MAX_NAME_CHARS: usize = 255;
/// Bars of a waveform: more than a phone is wide.
const MAX_WAVEFORM: usize = 1024;
const MAX_ADDRESS_CHARS: usize = 500;

/// What a field has to be.
#[derive(Clone, Copy)]
enum Shape {
    Url,
    /// At most so many characters, not empty.
    Text(usize),
    /// A whole number, at least 1.
    Pixels,
    /// Not negative.
    Seconds,
    /// A whole number, not negative.
    Bytes,
    Waveform,
    Location,
}

struct Field {
    name: &'static str,
    shape: Shape,
    required: bool,
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

const IMAGE: &[Field] = &[
    required("imageUrl", Shape::Url),
    required("imageWidth", Shape::Pixels),
    required("imageHeight", Shape::Pixels),
    optional("thumbnailUrl", Shape::Url),
    optional("blurhash", Shape::Text(128)),
];
const VIDEO: &[Field] = &[
    required("videoUrl", Shape::Url),
    optional("videoWidth", Shape::Pixels),
    optional("videoHeight", Shape::Pixels),
    optional("duration", Shape::Seconds),
    optional("thumbnailUrl", Shape::Url),
];
const AUDIO: &[Field] = &[
    required("audioUrl", Shape::Url),
    optional("audioDuration", Shape::Seconds),
    optional("waveform", Shape::Waveform),
];
const LOCATION: &[Field] = &[required("location", Shape::Location)];
const FILE: &[Field] = &[
    required("fileUrl", Shape::Url),
    required("fileName", Shape::Text(MAX_NAME_CHARS)),
    required("fileSize", Shape::Bytes),
    required("mimeType", Shape::Text(127)),
];

fn fields(kind: MessageType) -> &'static [Field] {
    match kind {
        MessageType::Text | MessageType::System => &[],
        MessageType::Image => IMAGE,
        MessageType::Video => VIDEO,
        MessageType::Audio => AUDIO,
        MessageType::Location => LOCATION,
        MessageType::File => FILE,
    }
}

/// Checks metadata for a message of this type and returns it as the text of a JSON object. Most messages
/// have none: that costs nothing.
pub fn check(kind: MessageType, metadata: Option<&RawValue>, errors: &mut FieldErrors) -> String {
    const NONE: &str = "{}";
    let known = fields(kind);
    let text = metadata.map_or(NONE, RawValue::get);
    if known.is_empty() && text == NONE {
        return NONE.to_owned();
    }
    let Ok(object) = serde_json::from_str::<Map<String, Value>>(text) else {
        errors.push("metadata", "must be an object");
        return NONE.to_owned();
    };
    for field in known {
        match object.get(field.name).filter(|value| !value.is_null()) {
            Some(value) => check_shape(field, value, errors),
            None if field.required => errors.push(path(field.name), "is required"),
            None => {}
        }
    }
    check_further(known, &object, errors);
    if has_nul(&object) {
        errors.push("metadata", "must not contain the NUL character");
    }
    text.to_owned()
}

/// The links in the metadata of a message, with the names of their fields. Messages that carry none cost nothing.
pub fn links(kind: MessageType, metadata: &str) -> Vec<(&'static str, String)> {
    let urls = || fields(kind).iter().filter(|field| matches!(field.shape, Shape::Url));
    if urls().next().is_none() {
        return Vec::new();
    }
    // What is not an object was refused before.
    let Ok(object) = serde_json::from_str::<Map<String, Value>>(metadata) else {
        return Vec::new();
    };
    let link = |field: &Field| Some((field.name, object.get(field.name)?.as_str()?.to_owned()));
    urls().filter_map(link).collect()
}

fn path(name: &str) -> String {
    format!("metadata.{name}")
}

fn check_further(known: &[Field], object: &Map<String, Value>, errors: &mut FieldErrors) {
    let further = object.iter().filter(|(key, _)| known.iter().all(|field| field.name != *key));
    let bytes: usize = further.map(|(key, value)| key.len() + value.to_string().len()).sum();
    if bytes > MAX_FURTHER_BYTES {
        let message = format!("must hold at most {MAX_FURTHER_BYTES} bytes of further keys");
        errors.push("metadata", message);
    }
}

fn check_shape(field: &Field, value: &Value, errors: &mut FieldErrors) {
    let at = path(field.name);
    let problem = match field.shape {
        Shape::Url => (!is_url(value)).then(|| {
            format!(
                "must be an http(s) URL or an absolute path of at most {MAX_URL_CHARS} characters"
            )
        }),
        Shape::Text(max) => {
            (!is_text(value, max)).then(|| format!("must be a text of 1 to {max} characters"))
        }
        Shape::Pixels => (!value.as_u64().is_some_and(|n| (1..=1_000_000).contains(&n)))
            .then(|| "must be a whole number from 1 to 1000000".to_owned()),
        Shape::Seconds => (!value.as_f64().is_some_and(|n| n >= 0.0))
            .then(|| "must be a number of seconds, not negative".to_owned()),
        Shape::Bytes => {
            value.as_u64().is_none().then(|| "must be a whole number of bytes".to_owned())
        }
        Shape::Waveform => (!is_waveform(value))
            .then(|| format!("must be an array of at most {MAX_WAVEFORM} numbers")),
        Shape::Location => return check_location(value, errors),
    };
    if let Some(problem) = problem {
        errors.push(at, problem);
    }
}

fn is_text(value: &Value, max: usize) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty() && text.chars().nth(max).is_none())
}

/// Links that a client may open: nothing that a browser would execute.
fn is_url(value: &Value) -> bool {
    is_text(value, MAX_URL_CHARS) && value.as_str().is_some_and(is_link)
}

/// An http(s) URL, or an absolute path on this service.
pub fn is_link(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let points_somewhere = match host {
        Some(host) => !host.is_empty() && !host.starts_with('/'),
        None => text.starts_with('/') && !text.starts_with("//"),
    };
    points_somewhere && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_waveform(value: &Value) -> bool {
    let numbers =
        |bars: &Vec<Value>| bars.len() <= MAX_WAVEFORM && bars.iter().all(Value::is_number);
    value.as_array().is_some_and(numbers)
}

fn check_location(value: &Value, errors: &mut FieldErrors) {
    let Some(location) = value.as_object() else {
        return errors.push("metadata.location", "must be an object with latitude and longitude");
    };
    for (name, limit) in [("latitude", 90.0), ("longitude", 180.0)] {
        let degrees = location.get(name).and_then(Value::as_f64);
        if !degrees.is_some_and(|d| (-limit..=limit).contains(&d)) {
            let message = format!("must be a number from -{limit} to {limit}");
            errors.push(format!("metadata.location.{name}"), message);
        }
    }
    let address = location.get("address").filter(|value| !value.is_null());
    if address.is_some_and(|value| !is_text(value, MAX_ADDRESS_CHARS)) {
        let message = format!("must be a text of 1 to {MAX_ADDRESS_CHARS} characters");
        errors.push("metadata.location.address", message);
    }
    let known = ["latitude", "longitude", "address"];
    let further = location.iter().filter(|(key, _)| !known.contains(&key.as_str()));
    let bytes: usize = further.map(|(key, value)| key.len() + value.to_string().len()).sum();
    if bytes > MAX_FURTHER_BYTES {
        let message = format!("must hold at most {MAX_FURTHER_BYTES} bytes of further keys");
        errors.push("metadata.location", message);
    }
}

/// The database stores metadata parsed, and cannot hold a NUL anywhere in it.
fn has_nul(object: &Map<String, Value>) -> bool {
    fn inside(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(inside),
            Value::Object(object) => has_nul(object),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    object.iter().any(|(key, value)| key.contains('\0') || inside(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::ApiError;

    fn problems(kind: MessageType, json: &str) -> Vec<String> {
        let raw = RawValue::from_string(json.to_owned()).expect("JSON");
        let mut errors = FieldErrors::default();
        check(kind, Some(&raw), &mut errors);
        let error = errors.finish().err().unwrap_or_else(ApiError::internal);
        error.errors.into_iter().map(|e| e.field.into_owned()).collect()
    }

    #[test]
    fn complete_metadata_passes() {
        for (kind, json) in [
            (MessageType::Text, r#"{"anything":[1,{"x":null}]}"#),
            (
                MessageType::Image,
                r#"{"imageUrl":"https://x/y.png","imageWidth":10,"imageHeight":20}"#,
            ),
            (MessageType::Video, r#"{"videoUrl":"/messaging/media/k","duration":1.5}"#),
            (
                MessageType::Audio,
                r#"{"audioUrl":"https://x/a","waveform":[0,0.5],"audioDuration":0}"#,
            ),
            (MessageType::Location, r#"{"location":{"latitude":-6.45,"longitude":3.39}}"#),
            (
                MessageType::File,
                r#"{"fileUrl":"https://x/f","fileName":"a.pdf","fileSize":0,"mimeType":"application/pdf"}"#,
            ),
        ] {
            assert!(problems(kind, json).is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(
            problems(MessageType::Image, r#"{"imageUrl":"javascript:alert(1)","imageWidth":0}"#),
            ["metadata.imageUrl", "metadata.imageWidth", "metadata.imageHeight"]
        );
        assert_eq!(
            problems(MessageType::Location, r#"{"location":{"latitude":91}}"#),
            ["metadata.location.latitude", "metadata.location.longitude"]
        );
        assert_eq!(problems(MessageType::Video, "{}"), ["metadata.videoUrl"]);
        assert_eq!(problems(MessageType::Text, "[]"), ["metadata"]);
    }

    #[test]
    fn a_type_that_needs_metadata_does_not_go_without() {
        let mut errors = FieldErrors::default();
        check(MessageType::Audio, None, &mut errors);
        assert!(errors.finish().is_err());
    }

    #[test]
    fn further_keys_are_bounded_and_free_of_nul() {
        let big = format!(r#"{{"k":"{}"}}"#, "x".repeat(4100));
        assert_eq!(problems(MessageType::Text, &big), ["metadata"]);
        assert_eq!(problems(MessageType::Text, r#"{"k":["\u0000"]}"#), ["metadata"]);
        // Half of a surrogate pair is no character: the database would refuse it.
        assert_eq!(problems(MessageType::Text, r#"{"k":"\ud800"}"#), ["metadata"]);
    }
}
