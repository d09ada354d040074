"""Millions of verdicts, made by the engine itself and laid into the real schema."""

from heliograph_collector.store.store import Store
from support.rows import DAY

VANTAGES = 5_000
SLICES = 10

# 5,000 vantages in 60 countries and their twenty networks, unevenly; twelve services, one of them
# thirty pages; a whole-target verdict and one of an endpoint for each measurement.
_LOAD = """
INSERT INTO verdicts
  (id, judged, started, nym, prefix, role, country, region, asn, access, link, experiment, service,
   target, endpoint, state, layer, method, rule, confidence, evidence, reachable_endpoints,
   endpoints, established)
SELECT
  lower(hex(MD5(toString(n)))), 1, fromUnixTimestamp64Micro({since} + toInt64(n * {step}), 'UTC'),
  'nym' || toString(who) AS nym, 'net' || toString(intDiv(who, 3)), 'volunteer',
  char(65 + c % 6, 65 + intDiv(c, 6)) AS country, '',
  1000 + 20 * c + intDiv(cityHash64(who, 2) % 400, 20) AS asn,
  if(cityHash64(who, 3) % 3 = 0, 'mobile', 'fixed'), 'online',
  if(what = 0, 'web', 'telegram'), if(what = 0, 'web', 'service' || toString(what)) AS service,
  if(what = 0, 'https://site' || toString(cityHash64(n, 5) % 30) || '.example/', service),
  end, if(bad, 'blocked', 'reachable'), if(bad, 'tls', ''),
  if(bad, if(cityHash64(n, 7) % 9 = 0, 'block_page', 'reset_after_hello'), ''), 'bench', 1, [], 0,
  0, 1
FROM (
  SELECT number AS n, intHash32(number) % {vantages} AS who,
    toUInt8(60 * pow((cityHash64(who, 1) % 100000) / 100000, 2)) AS c,
    cityHash64(n, 4) % 12 AS what, (c + what) % 23 = 0 OR cityHash64(n, 6) % 200 = 0 AS bad
  FROM numbers_mt({first}, {rows})
) ARRAY JOIN ['', 'dc1'] AS end"""

_LOSSES = """
INSERT INTO presence
  (journal, position, received, kind, nym, prefix, role, country, region, asn, access)
SELECT 'j', number, fromUnixTimestamp64Micro({since} + toInt64(number * {step}), 'UTC'),
  if(cityHash64(number) % 40 = 0, 'lost', 'arrival'), 'nym' || toString(who), 'net',
  'volunteer',
  char(65 + c % 6, 65 + intDiv(c, 6)), '', 1000 + 20 * c + intDiv(cityHash64(who, 2) % 400, 20),
  if(cityHash64(who, 3) % 3 = 0, 'mobile', 'fixed')
FROM (
  SELECT number, number % {vantages} AS who,
    toUInt8(60 * pow((cityHash64(who, 1) % 100000) / 100000, 2)) AS c
  FROM numbers({rows})
)"""


def load(store: Store, rows: int, days: int, until_us: int) -> None:
    """`rows` measurements evenly over the `days` before `until_us`. The store is open."""
    span = days * DAY
    since = until_us - span
    words = {"since": since, "step": span // rows, "vantages": VANTAGES}
    each = rows // SLICES
    for n in range(SLICES):
        store._clickhouse.command(_LOAD.format(first=n * each, rows=each, **words))
    losses = VANTAGES * 2 * days
    words["step"] = span // losses
    store._clickhouse.command(_LOSSES.format(rows=losses, **words))
