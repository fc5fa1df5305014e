//! No migration may add a place for users' data that their end does not know of.

use std::collections::BTreeSet;

use crate::harness::World;

/// Columns that name no user, and whose words go or stay with the row that another column of the same table accounts for.
/// Whoever adds one here has thought about it; what names a user belongs into `src/store/own_data/places.rs`, with what
/// becomes of it.
const OF_NOBODY: &[&str] = &[
    "audit.action",
    "audit.operator",
    "audit.reason",
    "contexts.announcing",
    "contexts.id",
    "contexts.image_url",
    "contexts.title",
    "contexts.type",
    "contexts.url",
    "block_pairs.direct_ids",
    "conversation_bans.conversation_id",
    "conversation_bans.reason",
    "conversation_changes.conversation_id",
    "conversation_join_requests.conversation_id",
    "conversation_participants.conversation_id",
    "conversation_participants.last_read_message_id",
    "conversation_participants.role",
    "conversations.avatar_url",
    "conversations.context_id",
    "conversations.context_title",
    "conversations.context_type",
    "conversations.description",
    "conversations.held_reason",
    "conversations.id",
    "conversations.last_message_id",
    "conversations.posting_policy",
    "conversations.title",
    "conversations.type",
    "departures.conversation_id",
    "devices.id",
    "devices.platform",
    "devices.token",
    "devices.token_hash",
    "due_deletions.message_id",
    "exports.key",
    "exports.state",
    "held_messages.content",
    "held_messages.conversation_id",
    "held_messages.message_id",
    "held_messages.metadata",
    "held_messages.type",
    "media.blurhash",
    "media.conversation_id",
    "media.file_name",
    "media.key",
    "media.mime_type",
    "media.state",
    "media.thumbnail_type",
    "media_uses.media_key",
    "media_uses.message_id",
    "membership_changes.conversation_id",
    "message_changes.conversation_id",
    "message_changes.kind",
    "message_changes.message_id",
    "message_pins.conversation_id",
    "message_pins.message_id",
    "message_search.conversation_id",
    "message_search.type",
    "messages.client_message_id",
    "messages.content",
    "messages.conversation_id",
    "messages.id",
    "messages.metadata",
    "messages.reply_to_message_id",
    "messages.sender_name",
    "messages.type",
    "notification_settings.quiet_zone",
    "outbox.conversation_id",
    "outbox.event",
    "outbox.msg_id",
    "progress.epoch",
    "progress.name",
    "push_jobs.conversation_id",
    "push_jobs.device_id",
    "push_jobs.kind",
    "push_slots.conversation_id",
    "push_slots.device_id",
    "reactions.conversation_id",
    "reactions.emoji",
    "reactions.message_id",
    "report_evidence.content",
    "report_evidence.message_id",
    "report_evidence.metadata",
    "report_evidence.report_id",
    "report_evidence.type",
    "report_notes.note",
    "report_notes.operator",
    "report_notes.report_id",
    "reports.conversation_id",
    "reports.details",
    "reports.id",
    "reports.message_id",
    "reports.reason",
    "reports.state",
    "scheduled_messages.conversation_id",
    "scheduled_messages.id",
    "scheduled_messages.msg_id",
    "scheduled_messages.payload",
    "scheduled_messages.reply_to_message_id",
    "scheduled_messages.state",
    "search_words.word",
    "user_erasures.conversation_id",
    "user_erasures.stage",
    "user_standing.state",
    "users.avatar_url",
    "users.display_name",
];

#[tokio::test]
async fn every_column_that_could_name_a_user_is_accounted_for() {
    let world = World::start().await;
    let database = world.database.client().await;
    let sql = "SELECT table_name || '.' || column_name FROM information_schema.columns
               JOIN information_schema.tables USING (table_schema, table_name)
               WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
                   AND table_name <> 'refinery_schema_history'
                   AND (data_type IN ('uuid', 'text', 'jsonb', 'json', 'bytea') OR data_type = 'ARRAY')";
    let rows = database.query(sql, &[]).await.expect("columns");
    let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let source = include_str!("../../../src/store/own_data/places.rs");
    let mut listed: BTreeSet<String> = named_in(source);
    let known: BTreeSet<String> = OF_NOBODY.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        listed.intersection(&known).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "in one list"
    );
    listed.extend(known);
    let forgotten: Vec<_> = there.difference(&listed).collect();
    assert_eq!(forgotten, Vec::<&String>::new(), "what becomes of these when a user's data ends?");
    let gone: Vec<_> = listed.difference(&there).collect();
    assert_eq!(gone, Vec::<&String>::new(), "there are no such columns");
}

/// The first two words of each line of the list.
fn named_in(source: &str) -> BTreeSet<String> {
    let (_, list) = source.split_once("pub const PLACES").expect("the list");
    let (list, _) = list.split_once("\n];").expect("its end");
    let calls = ["place(", "other(", "stays("];
    let entries = list
        .match_indices('(')
        .filter(|(at, _)| calls.iter().any(|call| list[..=*at].ends_with(call)));
    let words = entries.filter_map(|(at, _)| {
        let mut quoted = list[at..].split('"').skip(1).step_by(2);
        Some(format!("{}.{}", quoted.next()?, quoted.next()?))
    });
    words.collect()
}
