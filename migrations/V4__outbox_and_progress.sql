CREATE TABLE outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversation_id uuid        NOT NULL,
    msg_id          uuid        NOT NULL,
    event           text        NOT NULL,
    payload         text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE outbox IS
    'What others must learn of a committed change, until the log has it. Written in the transaction of the
change, which holds the lock of its conversation row: ids of one conversation follow the order of commits.';
COMMENT ON COLUMN outbox.msg_id IS 'Goes out as Nats-Msg-Id, so that a second publish is recognised.';
CREATE INDEX outbox_conversation ON outbox (conversation_id, id);

CREATE TABLE progress (
    name     text PRIMARY KEY,
    last_seq bigint NOT NULL,
    epoch    text
);
COMMENT ON TABLE progress IS
    'How far a reader of the log is, written in the same transaction as what it has read.';
COMMENT ON COLUMN progress.epoch IS 'The incarnation of the stream that last_seq counts in.';
INSERT INTO progress (name, last_seq) VALUES ('persist', 0);
