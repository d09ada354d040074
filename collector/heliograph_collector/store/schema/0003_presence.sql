-- Who was there, what could not be read, and how far each journal has been taken in.

CREATE TABLE IF NOT EXISTS presence $on_cluster
(
    journal LowCardinality(String),
    position UInt64 CODEC(Delta, ZSTD(1)),
    received DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    kind LowCardinality(String),
    nym LowCardinality(String),
    prefix LowCardinality(String),
    role LowCardinality(String),
    country LowCardinality(String),
    region LowCardinality(String),
    asn UInt32,
    access LowCardinality(String)
)
ENGINE = $replacing
PARTITION BY toMonday(received)
ORDER BY (country, received, journal, position)
$settings;

CREATE TABLE IF NOT EXISTS quarantine $on_cluster
(
    journal LowCardinality(String),
    position UInt64,
    `index` Int32,
    received DateTime64(6, 'UTC'),
    reason String,
    body String CODEC(ZSTD(3))
)
ENGINE = $replacing
PARTITION BY toMonday(received)
ORDER BY (journal, position, `index`)
$settings;

-- Two rows to a journal once merged: the block that was begun last and the one that is wholly in.
CREATE TABLE IF NOT EXISTS blocks $on_cluster
(
    journal String,
    kind LowCardinality(String),
    first UInt64,
    last UInt64
)
ENGINE = $replacing(last)
ORDER BY (journal, kind)
$settings;
