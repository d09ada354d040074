"""What the detectors ask when late data reopen the past: fixed text, typed parameters."""

from typing import Any

from heliograph_collector.model.records import TIME_BAD, Opinion, State, Vantage, WorldTally
from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.queries import US, Query, Question

MAX_OPINIONS = 250_000  # of one answer: some 100 MiB
MAX_BINS = 50_000  # a month of minutes


def opinions(service: str, country: str, since_us: int, until_us: int) -> Query:
    """Up to MAX_OPINIONS and one more, so that one who asks for too much is told so."""
    q = _voting(service, since_us, until_us)
    q.where("country = {country:String}", country=country)
    text = f"""
SELECT toUnixTimestamp64Micro(started) AS started_us, nym, prefix, country, region, asn, access,
  established, state, layer, method, reachable_endpoints, endpoints
FROM verdicts FINAL WHERE {q.text} ORDER BY started, id LIMIT {{limit:UInt32}}"""  # noqa: S608 our own conditions
    return Query(text, q.parameters | {"limit": MAX_OPINIONS + 1}, _opinion)


def complete(found: list[Opinion], service: str, country: str) -> list[Opinion]:
    """Raises TooMuchError over MAX_OPINIONS."""
    if len(found) > MAX_OPINIONS:
        raise TooMuchError(
            f"{service} in {country} has more than {MAX_OPINIONS} verdicts in that time: "
            "ask for a shorter one."
        )
    return found


def world_tally(
    service: str, not_country: str, since_us: int, until_us: int, bin_s: int, fresh_s: int
) -> Query:
    """Per bin the newest opinion of each vantage within `fresh_s` before its end, then by network.

    A vantage in doubt abstains; a network fails when more than half of its vantages do.
    Raises TooMuchError over MAX_BINS.
    """
    if until_us - since_us > MAX_BINS * bin_s * US:
        raise TooMuchError(f"More than {MAX_BINS} bins: ask for a shorter time, or wider bins.")
    q = _voting(service, since_us - fresh_s * US, until_us)
    q.where("country != {country:String}", country=not_country)
    text = f"""
SELECT bin, countIf(2 * bad <= known) AS good_, countIf(2 * bad > known) AS bad_ FROM (
  SELECT bin, country, net, count() AS known, countIf(fails) AS bad FROM (
    SELECT bin, country, argMax(prefix, (at, id)) AS net, argMax(state, (at, id)) AS said,
      said != 'reachable' OR argMax(partly, (at, id)) AS fails
    FROM (
      SELECT id, nym, country, prefix, state, toUnixTimestamp64Micro(started) AS at,
        state = 'reachable' AND reachable_endpoints < endpoints AS partly,
        arrayJoin(range(greatest(intDiv(at, {{bin:Int64}}), intDiv({{from:Int64}}, {{bin:Int64}}))
            * {{bin:Int64}}, least(at + {{fresh:Int64}} - {{bin:Int64}} + 1, {{to:Int64}}),
          {{bin:Int64}})) AS bin
      FROM verdicts FINAL WHERE {q.text}
    ) GROUP BY bin, country, nym HAVING said != 'unknown'
  ) GROUP BY bin, country, net
) GROUP BY bin ORDER BY bin"""  # noqa: S608 our own conditions
    times = {"from": since_us, "to": until_us, "bin": bin_s * US, "fresh": fresh_s * US}
    return Query(
        text, q.parameters | times, lambda r: WorldTally(start_us=r[0], good=r[1], bad=r[2])
    )


def _voting(service: str, since_us: int, until_us: int) -> Question:
    """Whole-target verdicts of volunteers, made at a time that can be."""
    q = Question().between("started", since_us, until_us)
    q.where("service = {service:String}", service=service)
    q.where("endpoint = ''").where("role = 'volunteer'")
    return q.where("rule != {bad:String}", bad=TIME_BAD)


def _opinion(r: tuple[Any, ...]) -> Opinion:
    return Opinion(
        started_us=r[0],
        nym=r[1],
        prefix=r[2],
        place=Vantage(country=r[3], region=r[4], asn=r[5], access=r[6]),
        established=r[7],
        state=State(r[8]),
        layer=r[9],
        method=r[10],
        reachable_endpoints=r[11],
        endpoints=r[12],
    )
