-- How long a vantage had been enrolled: new (under a day: no vote), young, or established. Of older
-- rows only `established` is known, which stays for them; nobody of that time is counted as new.

ALTER TABLE measurements $on_cluster ADD COLUMN IF NOT EXISTS seniority LowCardinality(String) DEFAULT if(established, 'established', 'young');

ALTER TABLE verdicts $on_cluster ADD COLUMN IF NOT EXISTS seniority LowCardinality(String) DEFAULT if(established, 'established', 'young');

ALTER TABLE presence $on_cluster ADD COLUMN IF NOT EXISTS seniority LowCardinality(String) DEFAULT 'young';
