-- The projection of the log. Only the persister writes it. A row costs about 12 µs in a batch; each further
-- index would be paid on every message, which is why search has a table of its own.

CREATE TABLE messages (
    conversation_id     uuid        NOT NULL,
    seq                 bigint      NOT NULL,
    id                  uuid        NOT NULL,
    counter             bigint      NOT NULL,
    sender_id           uuid        NOT NULL,
    sender_name         text,
    type                text        NOT NULL,
    content             text        NOT NULL,
    reply_to_message_id uuid,
    reply_to            jsonb,
    metadata            jsonb       NOT NULL,
    mentions            uuid[]      NOT NULL,
    client_message_id   text,
    edited_at           timestamptz,
    deleted_at          timestamptz,
    expires_at          timestamptz,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    changed_seq         bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, seq),
    CONSTRAINT messages_id UNIQUE (id)
);
COMMENT ON COLUMN messages.seq IS 'The stream sequence: every observer sees messages in this order.';
COMMENT ON COLUMN messages.counter IS 'Dense per conversation, 1 for the first; see conversations.message_count.';
COMMENT ON COLUMN messages.reply_to IS
    'The quoted message as it was: {"id","senderId","type","content"}, content at most 200 characters.';
COMMENT ON COLUMN messages.changed_seq IS
    'Stream sequence of the last edit or deletion applied: a redelivered older one changes nothing.';

CREATE TABLE message_changes (
    seq             bigint PRIMARY KEY,
    conversation_id uuid   NOT NULL,
    message_id      uuid   NOT NULL,
    message_seq     bigint NOT NULL,
    kind            text   NOT NULL
);
COMMENT ON TABLE message_changes IS
    'Edits and deletions in stream order, so that somebody who comes back learns what changed while away.';
CREATE INDEX message_changes_message ON message_changes (message_id);
CREATE INDEX message_changes_conversation ON message_changes (conversation_id, seq);
