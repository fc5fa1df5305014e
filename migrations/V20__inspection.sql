-- What `admin verify` asks: which rows came from a stretch of the log? Rows are written in the order of the log, so a
-- summary of each group of pages (BRIN) answers that: some KiB for millions of rows, and next to nothing for each row
-- that is written. An ordinary index would cost every message what all the others cost.

CREATE INDEX messages_seq ON messages USING brin (seq) WITH (autosummarize = on);
CREATE INDEX reactions_seq ON reactions USING brin (seq) WITH (autosummarize = on);
