-- What `admin verify` asks: which rows came from a stretch of the log? For messages V15 has an index by their places.
-- Reactions are written in the order of the log too, but for those that change, so a summary of each group of pages
-- (BRIN) will do: some KiB for millions of rows, and next to nothing for each that is written.

CREATE INDEX reactions_seq ON reactions USING brin (seq) WITH (autosummarize = on);
