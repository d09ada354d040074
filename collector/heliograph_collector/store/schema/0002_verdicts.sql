-- What it means, with all that a vote needs beside it; `judged` is the block that said so last.

CREATE TABLE IF NOT EXISTS verdicts $on_cluster
(
    id String CODEC(ZSTD(1)),
    judged UInt64 CODEC(Delta, ZSTD(1)),
    started DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    nym LowCardinality(String),
    prefix LowCardinality(String),
    role LowCardinality(String),
    country LowCardinality(String),
    region LowCardinality(String),
    asn UInt32,
    access LowCardinality(String),
    link LowCardinality(String),
    experiment LowCardinality(String),
    service LowCardinality(String),
    target String CODEC(ZSTD(1)),
    endpoint LowCardinality(String),
    state LowCardinality(String),
    layer LowCardinality(String),
    method LowCardinality(String),
    rule LowCardinality(String),
    confidence Float64,
    evidence Array(UInt16),
    reachable_endpoints UInt16,
    endpoints UInt16,
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = $replacing(judged)
PARTITION BY toMonday(started)
ORDER BY (country, service, endpoint, started, id)
$settings;

CREATE TABLE IF NOT EXISTS cells $on_cluster
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
    written DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = $replacing(written)
PARTITION BY toYYYYMM(start)
ORDER BY (country, service, bin_s, region, asn, access, start)
$settings;
