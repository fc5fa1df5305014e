-- Who has received and read a message follows from the markers of its conversation: a row for each message and
-- person would be the largest table of all, and would say nothing that the markers do not say.

-- Apart from the view, because the service also asks for a message that the log has and this database has not yet.
CREATE FUNCTION receipts_of(conversation uuid, place bigint, sender uuid, sent_at timestamptz)
RETURNS TABLE (user_id uuid, delivered_at timestamptz, read_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT p.user_id,
           -- Who has read has received. Each time is the last time that a marker moved, so the earlier one is nearer.
           COALESCE(LEAST(CASE WHEN p.delivered_seq >= place THEN p.delivered_at END,
                          CASE WHEN p.last_read_seq >= place THEN p.last_read_at END), p.joined_at),
           CASE WHEN p.last_read_seq >= place THEN COALESCE(p.last_read_at, p.joined_at) END
    FROM conversation_participants p
    WHERE p.conversation_id = conversation AND p.user_id <> sender
      AND GREATEST(p.delivered_seq, p.last_read_seq) >= place
      -- Whoever joined later begins with everything before as read, and has received nothing of it.
      AND (p.joined_seq BETWEEN 1 AND place OR p.joined_at <= sent_at)
$$;
COMMENT ON FUNCTION receipts_of IS
    'Who but its sender has received and read a message. The times are those of the markers when they last moved: it was then at the latest.';

CREATE VIEW message_receipts AS
SELECT m.id AS message_id, m.conversation_id, r.user_id, r.delivered_at, r.read_at
FROM messages m
CROSS JOIN LATERAL receipts_of(m.conversation_id, m.seq, m.sender_id, m.created_at) AS r;
COMMENT ON VIEW message_receipts IS 'Who else has received and read a message; see receipts_of.';
