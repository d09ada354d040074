-- Which line of the fingerprints the evidence has, and whether it confirms the blocking. Older rows
-- have the method of a known page instead.

ALTER TABLE verdicts $on_cluster ADD COLUMN IF NOT EXISTS fingerprint LowCardinality(String);

ALTER TABLE verdicts $on_cluster ADD COLUMN IF NOT EXISTS confirmed Bool DEFAULT state = 'blocked' AND method IN ('block_page', 'host_block_page');
