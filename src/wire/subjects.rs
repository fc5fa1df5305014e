//! The names on NATS.

use uuid::Uuid;

use crate::domain::ids::{ConversationId, partition};

/// The stream that is the log.
pub const CHAT_STREAM: &str = "CHAT";
/// Every event of the log, as it is published.
pub const CHAT_ALL: &str = "chat.*.*";
/// The stream of what other services publish.
pub const INGEST_STREAM: &str = "INGEST";
/// The stream of dead letters.
pub const DEAD_STREAM: &str = "DEAD";
/// Every conversation's signals: typing and reads, at most once and never stored.
pub const SIGNAL_ALL: &str = "signal.*.*";
/// Core subject on which the persister tells how far Postgres is: the decimal `progress.last_seq`.
pub const PROGRESS: &str = "progress.chat";
/// What operators tell and ask every process.
pub const CONTROL_ALL: &str = "control.*";
const CONTROL: &str = "control.";
const CONTROL_ANSWER: &str = "answer.control.";

/// The events of one conversation.
pub fn chat(conversation: ConversationId) -> String {
    format!("chat.{:02x}.{}", partition(conversation), conversation.as_hyphenated())
}

/// The signals of one conversation.
pub fn signal(conversation: ConversationId) -> String {
    format!("signal.{:02x}.{}", partition(conversation), conversation.as_hyphenated())
}

/// The bucket of who is online.
pub const PRESENCE_BUCKET: &str = "PRESENCE";

/// The stream behind a bucket.
pub fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// Every key of a bucket.
pub fn bucket_all(bucket: &str) -> String {
    format!("$KV.{bucket}.>")
}

/// One key of a bucket; a pattern of keys where it ends in a wildcard.
pub fn bucket_key(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// What one node is to tell its connections of others' coming and going; `node` is a token of its own choice.
pub fn status(node: &str) -> String {
    format!("status.{node}")
}

/// What every process is told or asked to do.
pub fn control(verb: &str) -> String {
    format!("{CONTROL}{verb}")
}

/// The verb of a subject of [`control`].
pub fn control_verb(subject: &str) -> Option<&str> {
    subject.strip_prefix(CONTROL)
}

/// Where processes answer who asked; `question` is a token of the asker's own choice.
pub fn control_answer(question: &str) -> String {
    format!("{CONTROL_ANSWER}{question}")
}

/// Is it where somebody who asked hears answers?
pub fn is_control_answer(subject: &str) -> bool {
    subject.strip_prefix(CONTROL_ANSWER).is_some_and(|question| !question.is_empty())
}

/// The dead letters of one consumer.
pub fn dead(consumer: &str) -> String {
    format!("dead.{consumer}")
}

/// The dead letters of one service's messages; `_` is for what names no service.
pub fn dead_of(consumer: &str, service: Option<&str>) -> String {
    format!("dead.{consumer}.{}", service.unwrap_or("_"))
}

/// The conversation of a `chat.` or `signal.` subject.
pub fn conversation_of(subject: &str) -> Option<ConversationId> {
    let (_, id) = subject.rsplit_once('.')?;
    Uuid::try_parse(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_partition_and_conversation() {
        let id: Uuid = "00000000-0000-4000-8000-00000000000a".parse().expect("a uuid");
        assert_eq!(chat(id), "chat.0a.00000000-0000-4000-8000-00000000000a");
        assert_eq!(conversation_of(&chat(id)), Some(id));
        assert_eq!(conversation_of("chat.0a.x"), None);
    }
}
