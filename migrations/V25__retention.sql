-- Messages leave when their time is over, if the configuration says so; and stay, whoever deletes them, where an operator
-- has put a conversation under legal hold.

ALTER TABLE conversations ADD COLUMN removed_through bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN conversations.removed_through IS
    'The counter of the newest message that retention has removed: up to there nothing is unread for anybody.';

CREATE TABLE held_messages (
    message_id      uuid        NOT NULL,
    changed_seq     bigint      NOT NULL,
    conversation_id uuid        NOT NULL,
    seq             bigint      NOT NULL,
    sender_id       uuid        NOT NULL,
    type            text        NOT NULL,
    content         text        NOT NULL,
    metadata        jsonb       NOT NULL,
    created_at      timestamptz NOT NULL,
    kept_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (message_id, changed_seq)
);
COMMENT ON TABLE held_messages IS
    'What messages of conversations under legal hold said before they were edited or deleted, or vanished. Nobody is shown it; an
operator reads it here. It goes when the hold is released.';
COMMENT ON COLUMN held_messages.changed_seq IS 'The last change that this version had in it; 0 for the message as it was sent.';
CREATE INDEX held_messages_conversation ON held_messages (conversation_id, seq);
