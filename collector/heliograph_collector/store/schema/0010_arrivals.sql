-- When a verdict's measurement arrived: the public sees what had arrived at fixed times. Of rows from
-- before this is not known; they arrived after they began.
ALTER TABLE verdicts $on_cluster ADD COLUMN IF NOT EXISTS received DateTime64(6, 'UTC') DEFAULT started CODEC(Delta, ZSTD(1));

-- How many of the silent are established, one for each network prefix. NULL where that is not known.
ALTER TABLE cells $on_cluster ADD COLUMN IF NOT EXISTS silent_established Nullable(UInt32);

ALTER TABLE minute_cells $on_cluster ADD COLUMN IF NOT EXISTS silent_established Nullable(UInt32);
