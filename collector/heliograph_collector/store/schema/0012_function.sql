-- Which functions of a service are blocked, with commas; '' where none is or nobody asked.

ALTER TABLE verdicts $on_cluster ADD COLUMN IF NOT EXISTS function LowCardinality(String);
