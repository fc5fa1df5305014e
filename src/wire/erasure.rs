//! Finding users in events, and taking them out.

use serde_json::Value;

use crate::domain::ids::UserId;
use crate::domain::user::GONE;

use super::event::EventKind;

/// How an event names a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Not at all, or by nothing but the id.
    Not,
    /// It is theirs: a message, an edit, a reaction.
    Own,
    /// It is somebody else's, and tells their name or quotes them.
    OfOthers,
}

/// Does the id of a user stand anywhere in it?
pub fn names(payload: &[u8], user: UserId) -> bool {
    let mut buffer = uuid::Uuid::encode_buffer();
    let id = user.as_hyphenated().encode_lower(&mut buffer);
    memchr::memmem::find(payload, id.as_bytes()).is_some()
}

/// How an event of the log names a user. What is no JSON is somebody else's to deal with.
pub fn naming(kind: EventKind, payload: &[u8], user: UserId) -> Naming {
    // Nearly all events do not, and are not parsed.
    if !names(payload, user) {
        return Naming::Not;
    }
    let id = user.as_hyphenated().to_string();
    let Ok(data) = serde_json::from_slice::<Value>(payload) else { return Naming::Not };
    let is_user = |value: &Value| value.as_str() == Some(&id);
    match kind {
        EventKind::NewMessage | EventKind::MessageUpdated if is_user(&data["senderId"]) => {
            Naming::Own
        }
        EventKind::NewMessage | EventKind::MessageUpdated => {
            let quoted = &data["replyTo"];
            let says = quoted["content"].as_str().is_some_and(|text| !text.is_empty());
            if is_user(&quoted["senderId"]) && says { Naming::OfOthers } else { Naming::Not }
        }
        // That it was taken back stays, for those who know of the reaction.
        EventKind::ReactionUpdated if is_user(&data["userId"]) && data["added"] == true => {
            Naming::Own
        }
        EventKind::ConversationUpdated if scrub(&mut data.clone(), &id) => Naming::OfOthers,
        _ => Naming::Not,
    }
}

/// The JSON of an event without the user's name, picture and words; `None` if there is nothing to take out.
pub fn without_profile(text: &str, user: UserId) -> Option<String> {
    let id = user.as_hyphenated().to_string();
    let mut data: Value = serde_json::from_str(text).ok()?;
    scrub(&mut data, &id).then(|| data.to_string())
}

/// Takes out what is said of a user anywhere inside; returns whether there was anything.
fn scrub(value: &mut Value, id: &str) -> bool {
    match value {
        Value::Array(all) => all.iter_mut().fold(false, |found, one| scrub(one, id) | found),
        Value::Object(fields) => {
            let names = |field: &str| fields.get(field).and_then(Value::as_str) == Some(id);
            let mut put = Vec::new();
            if names("userId") {
                put.extend([
                    ("displayName", Value::from(GONE)),
                    ("avatarUrl", Value::Null),
                    ("lastSeenAt", Value::Null),
                ]);
            }
            if names("senderId") {
                put.extend([
                    ("senderName", Value::from(GONE)),
                    ("content", Value::from("")),
                    ("metadata", Value::Object(serde_json::Map::new())),
                ]);
            }
            let mut found = false;
            for (name, new) in put {
                if let Some(old) = fields.get_mut(name)
                    && !old.is_null()
                    && *old != new
                {
                    *old = new;
                    found = true;
                }
            }
            fields.values_mut().fold(found, |found, one| scrub(one, id) | found)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ADA: UserId = UserId::from_u128(1);
    const BEN: UserId = UserId::from_u128(2);

    fn named(kind: EventKind, data: &Value) -> Naming {
        naming(kind, data.to_string().as_bytes(), ADA)
    }

    #[test]
    fn ones_own_is_told_from_what_others_said() {
        let own = json!({"senderId": ADA, "content": "x"});
        assert_eq!(named(EventKind::NewMessage, &own), Naming::Own);
        let quoting =
            json!({"senderId": BEN, "content": "x", "replyTo": {"senderId": ADA, "content": "y"}});
        assert_eq!(named(EventKind::NewMessage, &quoting), Naming::OfOthers);
        let emptied = json!({"senderId": BEN, "replyTo": {"senderId": ADA, "content": ""}});
        assert_eq!(named(EventKind::NewMessage, &emptied), Naming::Not);
        let mentioning = json!({"senderId": BEN, "content": "x", "mentions": [ADA]});
        assert_eq!(named(EventKind::NewMessage, &mentioning), Naming::Not);
        let reacted = json!({"userId": ADA, "added": true});
        assert_eq!(named(EventKind::ReactionUpdated, &reacted), Naming::Own);
        let taken_back = json!({"userId": ADA, "added": false});
        assert_eq!(named(EventKind::ReactionUpdated, &taken_back), Naming::Not);
        assert_eq!(naming(EventKind::NewMessage, b"not JSON", ADA), Naming::Not);
    }

    #[test]
    fn names_are_taken_out_and_the_rest_stays() {
        let change = json!({"change": "created", "actorId": ADA, "conversation": {"participants": [
            {"userId": ADA, "displayName": "Ada", "avatarUrl": "a", "role": "admin"},
            {"userId": BEN, "displayName": "Ben", "avatarUrl": null, "role": "member"},
        ]}});
        assert_eq!(named(EventKind::ConversationUpdated, &change), Naming::OfOthers);
        let text = without_profile(&change.to_string(), ADA).expect("something");
        assert!(
            !text.contains("\"Ada\"") && text.contains("\"Ben\"") && text.contains("admin"),
            "{text}"
        );
        assert_eq!(without_profile(&text, ADA), None, "nothing is left");
        assert_eq!(
            named(EventKind::ConversationUpdated, &serde_json::from_str(&text).expect("JSON")),
            Naming::Not
        );
    }
}
