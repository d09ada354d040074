-- How many of a cell's vantages were known for ten days. Of rows from before this is not known (NULL),
-- and they were public by all their vantages: they stay so.

ALTER TABLE cells $on_cluster ADD COLUMN IF NOT EXISTS established Nullable(UInt32);

ALTER TABLE minute_cells $on_cluster ADD COLUMN IF NOT EXISTS established Nullable(UInt32);
