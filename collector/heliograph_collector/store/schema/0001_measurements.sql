-- What was measured: the message itself, for judging it again, and each of its steps flattened.

CREATE TABLE IF NOT EXISTS measurements $on_cluster
(
    id String CODEC(ZSTD(1)),
    position UInt64 CODEC(Delta, ZSTD(1)),
    received DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
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
    experiment_version UInt32,
    service LowCardinality(String),
    target String CODEC(ZSTD(1)),
    runtime_us UInt64 CODEC(ZSTD(1)),
    not_measured LowCardinality(String),
    plan_version UInt64,
    services_version LowCardinality(String),
    body String CODEC(ZSTD(3)),
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = $replacing(position)
PARTITION BY toMonday(started)
ORDER BY (country, service, started, id)
$settings;

CREATE TABLE IF NOT EXISTS observations $on_cluster
(
    id String CODEC(ZSTD(1)),
    step UInt16,
    position UInt64 CODEC(Delta, ZSTD(1)),
    started DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    role LowCardinality(String),
    country LowCardinality(String),
    region LowCardinality(String),
    asn UInt32,
    access LowCardinality(String),
    experiment LowCardinality(String),
    service LowCardinality(String),
    endpoint LowCardinality(String),
    operation LowCardinality(String),
    failure LowCardinality(String),
    failure_detail LowCardinality(String),
    parent Int32,
    at_us UInt64 CODEC(ZSTD(1)),
    duration_us UInt64 CODEC(ZSTD(1)),
    engine LowCardinality(String),
    resolver LowCardinality(String),
    name String CODEC(ZSTD(1)),
    query_type LowCardinality(String),
    rcode Int32,
    answers Array(String) CODEC(ZSTD(1)),
    address String CODEC(ZSTD(1)),
    port UInt16,
    server_name String CODEC(ZSTD(1)),
    tls_version LowCardinality(String),
    cipher LowCardinality(String),
    alpn LowCardinality(String),
    alert Int32,
    certificates Array(String) CODEC(ZSTD(1)),
    issuer String CODEC(ZSTD(1)),
    method LowCardinality(String),
    url String CODEC(ZSTD(1)),
    status UInt32,
    title String CODEC(ZSTD(1)),
    server LowCardinality(String),
    location String CODEC(ZSTD(1)),
    body_bytes UInt64 CODEC(ZSTD(1)),
    body_sha256 String CODEC(ZSTD(1)),
    truncated Bool
)
ENGINE = $replacing(position)
PARTITION BY toMonday(started)
ORDER BY (country, service, started, id, step)
$settings;
