-- What retention has removed is told from what was lost by its place in the log: counters alone are in no event.

ALTER TABLE conversations ADD COLUMN removed_through_seq bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN conversations.removed_through_seq IS
    'The place of the newest message that retention has removed. An event of a message up to there that has no row was removed,
or is about to be erased from the log.';

UPDATE conversations c SET removed_through_seq = COALESCE(
    (SELECT min(m.seq) - 1 FROM messages m WHERE m.conversation_id = c.id),
    (SELECT last_seq FROM progress WHERE name = 'persist'), 0)
WHERE c.removed_through > 0;
