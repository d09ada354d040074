-- Cells of one minute, kept for days: in a table of their own, so that whole parts of it can go.

ALTER TABLE cells $on_cluster ADD COLUMN IF NOT EXISTS layers Map(LowCardinality(String), UInt32);

CREATE TABLE IF NOT EXISTS minute_cells $on_cluster
(
    country LowCardinality(String),
    region LowCardinality(String),
    asn UInt32,
    access LowCardinality(String),
    service LowCardinality(String),
    start DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    bin_s UInt32,
    vantages UInt32,
    reachable UInt32,
    blocked UInt32,
    down UInt32,
    unknown UInt32,
    silent UInt32,
    state LowCardinality(String),
    confidence Float64,
    layer LowCardinality(String),
    method LowCardinality(String),
    prefixes UInt32,
    layers Map(LowCardinality(String), UInt32),
    written DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = $replacing(written)
PARTITION BY toYYYYMMDD(start)
ORDER BY (country, service, bin_s, region, asn, access, start)
$settings;
