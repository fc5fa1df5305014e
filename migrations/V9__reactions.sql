-- Who reacted to what. A reaction is an event of the log like any other; the persister keeps what the last event said.

CREATE TABLE reactions (
    message_id      uuid    NOT NULL,
    user_id         uuid    NOT NULL,
    emoji           text    NOT NULL,
    conversation_id uuid    NOT NULL,
    message_seq     bigint  NOT NULL,
    seq             bigint  NOT NULL,
    added           boolean NOT NULL,
    PRIMARY KEY (message_id, user_id, emoji)
);
COMMENT ON TABLE reactions IS
    'The last word on each reaction. One that was taken back stays as such, so that somebody who was away learns of it.';
COMMENT ON COLUMN reactions.seq IS
    'Stream sequence of the last change applied: a redelivered older one changes nothing.';

-- What changed in a conversation while somebody was away.
CREATE INDEX reactions_conversation ON reactions (conversation_id, seq);
-- What was taken back is forgotten when the log no longer reaches back to it.
CREATE INDEX reactions_taken_back ON reactions (seq) WHERE NOT added;
