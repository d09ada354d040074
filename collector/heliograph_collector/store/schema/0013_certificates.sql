-- Certificates that did not verify, each once a week, so that signatures can be checked again. They
-- may name a house, and are never published.

CREATE TABLE IF NOT EXISTS certificates $on_cluster
(
    sha256 String,
    started DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    received DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    der String CODEC(ZSTD(3))
)
ENGINE = $replacing
PARTITION BY toMonday(started)
ORDER BY sha256
$settings;
