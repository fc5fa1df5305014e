-- Two things that follow from events which may come again or be undone.

-- An announcement may be stored twice, when publishing it was repeated after the log's duplicate window. The
-- second must not mark as read what was written in between.
ALTER TABLE conversation_participants ADD COLUMN joined_seq bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN conversation_participants.joined_seq IS
    'Stream sequence of the announcement that this person joined; 0 until it was read from the log.';

-- A deleted message is quoted nowhere. Most messages are no replies and cost this index nothing.
CREATE INDEX messages_replies ON messages (reply_to_message_id) WHERE reply_to_message_id IS NOT NULL;
