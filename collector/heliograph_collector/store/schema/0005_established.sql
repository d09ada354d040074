-- Who had been enrolled for ten days when it was measured. Of rows from before this is not known,
-- and not known is not established: doubt must not let a stranger confirm an incident.

ALTER TABLE measurements $on_cluster ADD COLUMN IF NOT EXISTS established Bool;

ALTER TABLE verdicts $on_cluster ADD COLUMN IF NOT EXISTS established Bool;

-- When a vantage was last heard, or a fault of ours began, and why; 1970 when not known.
ALTER TABLE presence $on_cluster ADD COLUMN IF NOT EXISTS heard DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1));

ALTER TABLE presence $on_cluster ADD COLUMN IF NOT EXISTS why LowCardinality(String);
