-- Every node holds in memory who has blocked whom, and which direct conversations carry nothing because of it. It reads
-- what has changed since it last looked, which `blocks` alone cannot tell: an unblocked pair has no row there.

CREATE TABLE block_pairs (
    low_id     uuid        NOT NULL,
    high_id    uuid        NOT NULL,
    direct_ids uuid[]      NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (low_id, high_id),
    CHECK (low_id < high_id)
);
COMMENT ON TABLE block_pairs IS 'Pairs of whom one has, or had, blocked the other.';
COMMENT ON COLUMN block_pairs.direct_ids IS
    'Their direct conversations. While one blocks the other they can open no further ones.';
COMMENT ON COLUMN block_pairs.changed_at IS 'By the clock of this server, as in user_standing.';
CREATE INDEX block_pairs_changed ON block_pairs (changed_at);
