-- How communities and groups are kept in order: who may write and how often, who may come in, what is held up for all to
-- see, and what has to be kept although its time is over.

ALTER TABLE conversations
    ADD COLUMN posting_policy    text    NOT NULL DEFAULT 'everyone' CHECK (posting_policy IN ('everyone', 'admins')),
    ADD COLUMN slow_mode_seconds integer NOT NULL DEFAULT 0 CHECK (slow_mode_seconds BETWEEN 0 AND 21600),
    ADD COLUMN join_approval     boolean NOT NULL DEFAULT false,
    ADD COLUMN held_at           timestamptz,
    ADD COLUMN held_reason       text;
COMMENT ON COLUMN conversations.slow_mode_seconds IS 'Between two messages of a member; 0 for none. Admins are exempt.';
COMMENT ON COLUMN conversations.join_approval IS 'Whoever wants to join has to be let in by an admin.';
COMMENT ON COLUMN conversations.held_at IS 'Under legal hold since then: nothing of it is removed for good. Null when it is not.';

-- Those few in which not everybody may write at any time: each edge reads them when it starts. The persister never
-- updates these columns, so its updates stay heap-only.
CREATE INDEX conversations_restricted ON conversations (id)
    WHERE posting_policy <> 'everyone' OR slow_mode_seconds > 0;

CREATE TABLE conversation_join_requests (
    conversation_id uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    requested_at    timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
);
COMMENT ON TABLE conversation_join_requests IS 'Who waits to be let in. A row goes with its answer.';
CREATE INDEX conversation_join_requests_order ON conversation_join_requests (conversation_id, requested_at, user_id);

CREATE TABLE conversation_bans (
    conversation_id uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    banned_by       uuid        NOT NULL,
    reason          text,
    banned_at       timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
);
COMMENT ON TABLE conversation_bans IS 'Who may not come (back) into a conversation, neither by joining nor by being added.';
CREATE INDEX conversation_bans_order ON conversation_bans (conversation_id, banned_at, user_id);

CREATE TABLE message_pins (
    message_id      uuid        PRIMARY KEY,
    conversation_id uuid        NOT NULL,
    pinned_by       uuid        NOT NULL,
    pinned_at       timestamptz NOT NULL
);
COMMENT ON TABLE message_pins IS
    'Messages that everyone in the conversation finds at the top, 50 at most. A pin goes with its message; one that is left of
a deleted message is not shown and does not count.';
CREATE INDEX message_pins_conversation ON message_pins (conversation_id, pinned_at);
