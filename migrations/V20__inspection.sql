-- What `admin verify` asks: which rows came from a stretch of the log? Of messages the index says that the search follows
-- the projection by (`messages_seq`). Rows of reactions are written in the order of the log, so a summary of each group of
-- pages (BRIN) answers that: some KiB for millions of rows, and next to nothing for each row that is written.

CREATE INDEX reactions_seq ON reactions USING brin (seq) WITH (autosummarize = on);
