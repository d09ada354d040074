-- What the aggregation counts, kept for days that are over: one row for each cell that nobody can be
-- found in. It can always be made again from the verdicts.

CREATE TABLE IF NOT EXISTS days $on_cluster
(
    day Date,
    country LowCardinality(String),
    net UInt32,
    experiment LowCardinality(String),
    target String CODEC(ZSTD(1)),
    anomaly UInt64,
    confirmed UInt64,
    failure UInt64,
    ok UInt64,
    edition UInt64
)
ENGINE = $replacing(edition)
PARTITION BY toYYYYMM(day)
ORDER BY (day, country, net, experiment, target)
$settings;

-- Country "": the day was summed, as `sign` says. Any other: since then it has other verdicts.
CREATE TABLE IF NOT EXISTS day_marks $on_cluster
(
    day Date,
    country LowCardinality(String),
    sign String,
    version UInt64
)
ENGINE = $replacing(version)
ORDER BY (day, country)
$settings;
