-- What somebody who comes back must learn beside messages and their changes. The log has it too, but finding a
-- user's few events among millions there means reading all of them.

CREATE TABLE conversation_changes (
    seq             bigint PRIMARY KEY,
    conversation_id uuid   NOT NULL,
    payload         text   NOT NULL
);
COMMENT ON TABLE conversation_changes IS
    'Changes of conversations and of their participants, as clients got them. Kept as long as the log keeps them.';
CREATE INDEX conversation_changes_conversation ON conversation_changes (conversation_id, seq);

CREATE TABLE membership_changes (
    user_id         uuid    NOT NULL,
    seq             bigint  NOT NULL,
    conversation_id uuid    NOT NULL,
    gained          boolean NOT NULL,
    PRIMARY KEY (user_id, seq)
);
COMMENT ON TABLE membership_changes IS
    'Who came or went when: a conversation that somebody left while away is replayed up to there.';
-- For removing what is past the retention of the log.
CREATE INDEX membership_changes_seq ON membership_changes (seq);
