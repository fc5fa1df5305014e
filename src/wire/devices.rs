//! The JSON of devices and of what their owners want of notifications.

use jiff::Timestamp;
use jiff::civil::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::device::{self, MAX_TOKEN_BYTES, Platform, Registered};
use crate::domain::notifications::{QuietHours, Settings, Zone};

use super::error::{ApiError, FieldErrors};
use super::{names, time};

/// `POST /devices`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct RegisterDevice {
    /// The registration token of Firebase Cloud Messaging.
    #[schemars(length(min = 1, max = MAX_TOKEN_BYTES))]
    pub token: String,
    #[schemars(with = "names::Platform")]
    pub platform: String,
}

impl RegisterDevice {
    /// # Errors
    /// `invalid`, naming every field that is wrong.
    pub fn validate(&self) -> Result<Platform, ApiError> {
        let mut errors = FieldErrors::default();
        if !device::is_token(&self.token) {
            errors.push(
                "token",
                format!("must be a registration token of 1 to {MAX_TOKEN_BYTES} characters"),
            );
        }
        let platform = Platform::parse(&self.platform);
        if platform.is_none() {
            errors.push("platform", "must be one of android, ios, web");
        }
        errors.finish()?;
        platform.ok_or_else(ApiError::internal)
    }
}

/// A device as its owner sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Device", deny_unknown_fields)]
pub struct DeviceView {
    /// As much of it as tells one's own devices apart.
    pub token: String,
    #[schemars(with = "names::Platform")]
    pub platform: &'static str,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub created_at: Timestamp,
    /// When the app last registered it.
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub refreshed_at: Timestamp,
}

impl From<Registered> for DeviceView {
    fn from(registered: Registered) -> Self {
        let Registered { device, created_at, refreshed_at } = registered;
        let token = device::shortened(&device.token);
        Self { token, platform: device.platform.as_str(), created_at, refreshed_at }
    }
}

/// `GET /devices`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Devices {
    pub devices: Vec<DeviceView>,
}

/// `PUT /me/notifications`. What is left out becomes the default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetNotifications {
    #[serde(default)]
    quiet_hours: Option<SetQuietHours>,
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<bool>")]
    mentions_pierce_mute: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SetQuietHours {
    /// `HH:MM`
    #[schemars(regex(pattern = r"^([01]\d|2[0-3]):[0-5]\d$"))]
    from: String,
    /// `HH:MM`
    #[schemars(regex(pattern = r"^([01]\d|2[0-3]):[0-5]\d$"))]
    to: String,
    /// A name like `Africa/Lagos`.
    time_zone: String,
}

/// `null` says as much as nothing.
fn or_default<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    let given = Option::<bool>::deserialize(input)?;
    Ok(given.unwrap_or_else(|| Settings::default().mentions_pierce_mute))
}

impl SetNotifications {
    /// # Errors
    /// `invalid`, naming every field that is wrong.
    pub fn validate(&self) -> Result<Settings, ApiError> {
        let mut errors = FieldErrors::default();
        let quiet_hours =
            self.quiet_hours.as_ref().and_then(|given| quiet_hours(given, &mut errors));
        errors.finish()?;
        Ok(Settings { quiet_hours, mentions_pierce_mute: self.mentions_pierce_mute })
    }
}

fn quiet_hours(given: &SetQuietHours, errors: &mut FieldErrors) -> Option<QuietHours> {
    let (from, to) = (minute(&given.from), minute(&given.to));
    for (field, value) in [("quietHours.from", from), ("quietHours.to", to)] {
        if value.is_none() {
            errors.push(field, "must be a time like 22:00");
        }
    }
    if from.is_some() && from == to {
        // All day or never? Both can be said in a clearer way.
        errors.push("quietHours.to", "must differ from quietHours.from");
    }
    let zone = Zone::named(&given.time_zone);
    if zone.is_none() {
        errors.push("quietHours.timeZone", "must be a time zone like Africa/Lagos");
    }
    Some(QuietHours { from: from?, to: to?, zone: zone? })
}

/// Reads `HH:MM`.
fn minute(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<i8>().ok())?
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// `GET /me/notifications`, and the answer to `PUT`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Notifications {
    pub quiet_hours: Option<QuietHoursView>,
    pub mentions_pierce_mute: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "QuietHours")]
pub struct QuietHoursView {
    pub from: String,
    pub to: String,
    pub time_zone: &'static str,
}

impl From<&Settings> for Notifications {
    fn from(settings: &Settings) -> Self {
        let show = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
        let quiet_hours = settings.quiet_hours.as_ref().map(|quiet| QuietHoursView {
            from: show(quiet.from),
            to: show(quiet.to),
            time_zone: quiet.zone.name(),
        });
        Self { quiet_hours, mentions_pierce_mute: settings.mentions_pierce_mute }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::requests::parse;

    fn set(body: &serde_json::Value) -> Result<Settings, Vec<String>> {
        let body = body.to_string();
        let read = parse::<SetNotifications>(body.as_bytes()).and_then(|set| set.validate());
        read.map_err(|error| error.errors.iter().map(|e| e.field.to_string()).collect())
    }

    #[test]
    fn settings_come_back_as_they_were_given() {
        let body = json!({
            "quietHours": {"from": "22:00", "to": "07:05", "timeZone": "africa/lagos"},
            "mentionsPierceMute": true,
        });
        let settings = set(&body).expect("valid");
        assert_eq!(
            serde_json::to_value(Notifications::from(&settings)).expect("JSON"),
            json!({
                "quietHours": {"from": "22:00", "to": "07:05", "timeZone": "Africa/Lagos"},
                "mentionsPierceMute": true,
            })
        );
    }

    #[test]
    fn nothing_is_the_default() {
        assert_eq!(set(&json!({})), Ok(Settings::default()));
        let nulls = json!({"quietHours": null, "mentionsPierceMute": null});
        assert_eq!(set(&nulls), Ok(Settings::default()));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = json!({"quietHours": {"from": "24:00", "to": "7:00", "timeZone": "Lagos"}});
        let fields = ["quietHours.from", "quietHours.to", "quietHours.timeZone"];
        assert_eq!(set(&wrong), Err(fields.map(str::to_owned).to_vec()));
        let same =
            json!({"quietHours": {"from": "07:00", "to": "07:00", "timeZone": "Africa/Lagos"}});
        assert_eq!(set(&same), Err(vec!["quietHours.to".to_owned()]));
        let lacking = json!({"quietHours": {"from": "07:00", "to": "08:00"}});
        assert_eq!(set(&lacking), Err(vec!["quietHours.timeZone".to_owned()]));
        assert_eq!(
            set(&json!({"mentionsPierceMute": 1})),
            Err(vec!["mentionsPierceMute".to_owned()])
        );
        for text in ["+7:00", "07:0", "07:00:00", "", "aa:bb", "07:60"] {
            assert_eq!(minute(text), None, "{text}");
        }
    }

    #[test]
    fn a_device_is_a_token_and_a_platform() {
        let device = |token: &str, platform: &str| {
            RegisterDevice { token: token.to_owned(), platform: platform.to_owned() }.validate()
        };
        assert_eq!(device("abc:def", "ios"), Ok(Platform::Ios));
        let refused = device("a b", "toaster").expect_err("both are wrong");
        let fields: Vec<_> = refused.errors.iter().map(|e| e.field.as_ref()).collect();
        assert_eq!(fields, ["token", "platform"]);
    }
}
