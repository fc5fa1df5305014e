//! The words of the contract where only certain ones are allowed, for the schemas. The rules read and write them as
//! [`crate::domain`] has it; a test compares.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Types without values, whose schemas are the words.
macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident: [$($word:literal),+];)*) => {$(
        $(#[doc = $doc])*
        pub struct $name;

        impl $name {
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let description = concat!($($doc,)* "").trim();
                json_schema!({ "type": "string", "enum": Self::WORDS, "description": description })
            }
        }
    )*};
}

words! {
    /// Why a request was refused, and with that whether to come back.
    Code: [
        "unauthenticated", "forbidden", "not_a_participant", "not_found", "conflict", "invalid", "payload_too_large",
        "unsupported_media", "rate_limited", "unavailable", "internal"
    ];
    /// What a message is.
    MessageType: ["text", "image", "video", "audio", "location", "file", "system"];
    /// What a client may send.
    SendableType: ["text", "image", "video", "audio", "location", "file"];
    /// Exactly two, up to a limit, or any number of people.
    ConversationType: ["direct", "group", "community"];
    /// What a conversation is about.
    ContextType: ["event", "business", "listing", "general"];
    /// What somebody may do in a conversation.
    Role: ["member", "admin"];
    /// Who writes in a conversation.
    PostingPolicy: ["everyone", "admins"];
    /// What a device runs on.
    Platform: ["android", "ios", "web"];
    /// How far a copy of one's own data is.
    ExportStatus: ["preparing"];
    /// How far the end of one's own data is.
    ErasureStatus: ["erasing", "erased"];
    /// How far a message of one's own is.
    MessageStatus: ["sent", "delivered", "read", "scheduled", "failed", "cancelled"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{conversation, message, posting, receipt};

    #[test]
    fn the_words_are_those_of_the_rules() {
        for word in MessageType::WORDS {
            assert_eq!(message::MessageType::parse(word).map(|kind| kind.as_str()), Some(*word));
        }
        for word in ConversationType::WORDS {
            assert_eq!(
                conversation::ConversationType::parse(word).map(|kind| kind.as_str()),
                Some(*word)
            );
        }
        for word in ContextType::WORDS {
            let read = conversation::ContextType::parse(word);
            assert_eq!(read.map(|kind| kind.as_str()), Some(*word));
        }
        for word in Role::WORDS {
            assert_eq!(conversation::Role::parse(word).map(|role| role.as_str()), Some(*word));
        }
        for word in PostingPolicy::WORDS {
            let read = posting::PostingPolicy::parse(word);
            assert_eq!(read.map(|policy| policy.as_str()), Some(*word));
        }
        use receipt::Status::{Delivered, Read, Sent};
        for (status, word) in [Sent, Delivered, Read].iter().zip(MessageStatus::WORDS) {
            assert_eq!(status.as_str(), *word);
        }
    }
}
