-- No query read the steps one by one: a measurement's body holds all that they held. Truncation frees
-- the disk at once; above 50 GB the engine drops and truncates only what it is told to.

TRUNCATE TABLE IF EXISTS observations $on_cluster SETTINGS max_table_size_to_drop = 0;

DROP TABLE IF EXISTS observations $on_cluster SETTINGS max_table_size_to_drop = 0;
