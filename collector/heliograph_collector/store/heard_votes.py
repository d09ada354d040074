"""Count votes of vantages from single verdicts, for answers of few rows.

Nothing here does input or output. The engine counts votes itself where there are many
(`vote_queries.query_counts`), and then takes 0.2 to 0.4 s of CPU to parse the query, however short
its answer. A query for plain rows takes 20 ms, and they are counted here, or in
`aggregate/vote_counts.py` if the caller does not need the votes. The rule is that of
`vote_queries.build_vantage_sql`, and tests compare the two.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any

from heliograph.units import SECOND_US
from heliograph_collector.model.records import VerdictState, Vote
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.queries import Query, WhereClause
from heliograph_collector.store.vote_queries import decide_majority

VerdictRow = tuple[Any, ...]  # the columns of `query_verdicts`
_COLUMNS = (
    "country, region, asn, access, service, toUnixTimestamp64Micro(started), nym, prefix, "
    "seniority, state, layer, method, function"
)
TIME = 5  # position in a row; the place and service are before it
_NYM = 6
_SENIORITY = 8
_NO_CAUSE = (0, "", "")
_ESTABLISHED = Seniority.ESTABLISHED.value
_STATES = {state.value: state for state in VerdictState}
_MERGED = {"country": "", "region": "", "asn": 0, "access": "", "service": ""}
_PLACE = tuple(_MERGED)
_sort_key = attrgetter(*_PLACE, "start_us", "pseudonym")
_Place = tuple[Any, ...]  # a cell with the start of its bin


class _Vantage:
    """Verdicts of one vantage in one cell and bin."""

    __slots__ = ("causes", "counts", "functions", "is_old", "last")

    def __init__(self) -> None:
        self.counts: dict[VerdictState, int] = {}
        self.causes: Counter[tuple[str, str]] | None = None  # of failures; most have none
        self.functions: Counter[str] | None = None  # that partial verdicts find blocked
        self.last: tuple[int, str] = (0, "")  # time, line
        self.is_old = False

    @property
    def vote(self) -> VerdictState:
        return decide_majority(self.counts)

    @property
    def cause(self) -> tuple[int, str, str]:
        """The commonest cause: minus the failures, layer, method."""
        causes = (self.causes or {}).items()
        return min(((-n, *cause) for cause, n in causes), default=_NO_CAUSE)


def query_verdicts(clause: WhereClause, most: int | None) -> Query:
    """Select the verdicts that have a vote; at most one more than `most`, in no order."""
    limit = "" if most is None else " LIMIT {most:UInt32}"
    clause.add_volunteer_verdicts()
    sql = f"SELECT {_COLUMNS} FROM verdicts FINAL WHERE {clause.sql}{limit}"  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters | ({} if most is None else {"most": most + 1}))


def check_verdict_count(rows: list[VerdictRow], most: int | None) -> list[VerdictRow]:
    """Return the rows. Raises TooMuchError over `most`."""
    if most is not None and len(rows) > most:
        raise TooMuchError(f"More than {most} verdicts: ask for a shorter time or fewer places.")
    return rows


def select_many(
    rows: Sequence[VerdictRow], bin_s: int, fields: Collection[str], least: int
) -> list[VerdictRow]:
    """Select verdicts of bins and places in which `least` vantages or more measured.

    Args:
        fields: The fields of place and service that distinguish places.
    """
    bin_us = bin_s * SECOND_US
    columns = [[row[_PLACE.index(name)] for row in rows] for name in fields]
    keys = list(zip([row[TIME] // bin_us for row in rows], *columns, strict=True))
    verdicts = Counter(keys)  # most places have too few of them, whosever they are
    vantages: defaultdict[_Place, set[str]] = defaultdict(set)
    for key, row in zip(keys, rows, strict=True):
        if verdicts[key] >= least:
            vantages[key].add(row[_NYM])
    many = {key for key, names in vantages.items() if len(names) >= least}
    return [row for key, row in zip(keys, rows, strict=True) if key in many]


def tally_votes(rows: Iterable[VerdictRow], bin_s: int) -> list[Vote]:
    """Return the votes that count, in order.

    A young vantage has no vote in a cell where an established one reports another state.
    """
    audible = _list_heard(_tally(rows, bin_s * SECOND_US))
    return sorted([_build_vote(key, said) for key, said in audible.items()], key=_sort_key)


def select_heard(rows: Sequence[VerdictRow], bin_s: int) -> Sequence[VerdictRow]:
    """Return the verdicts whose votes count (see `tally_votes`)."""
    if all(row[_SENIORITY] == _ESTABLISHED for row in rows):
        return rows
    bin_us = bin_s * SECOND_US
    audible = _list_heard(_tally(rows, bin_us))
    return [row for row in rows if _find_key(row, bin_us) in audible]


def merge_places(
    rows: Sequence[VerdictRow], merged_fields: Collection[str]
) -> Iterable[tuple[Any, ...]]:
    """Return place and service of each row with an empty value for each merged field."""
    columns = [
        repeat(empty, len(rows)) if name in merged_fields else [row[position] for row in rows]
        for position, (name, empty) in enumerate(_MERGED.items())
    ]
    return zip(*columns, strict=True)


def _find_key(row: VerdictRow, bin_us: int) -> _Place:
    return (*row[:TIME], row[TIME] // bin_us * bin_us, row[_NYM])


def _tally(rows: Iterable[VerdictRow], bin_us: int) -> Mapping[_Place, _Vantage]:
    tallies: dict[_Place, _Vantage] = {}
    for row in rows:
        at_us, _, prefix, seniority, state_name, layer, method, function = row[TIME:]
        key = _find_key(row, bin_us)
        vantage = tallies.get(key)
        if vantage is None:
            vantage = tallies[key] = _Vantage()
        state = _STATES[state_name]
        if state is VerdictState.PARTIAL:
            state = VerdictState.REACHABLE
            vantage.functions = vantage.functions or Counter()
            vantage.functions[function] += 1
        elif state in (VerdictState.BLOCKED, VerdictState.DOWN):
            vantage.causes = vantage.causes or Counter()
            vantage.causes[layer, method] += 1
        vantage.counts[state] = vantage.counts.get(state, 0) + 1
        vantage.last = max(vantage.last, (at_us, prefix))
        vantage.is_old |= seniority == _ESTABLISHED
    return tallies


def _list_heard(tallies: Mapping[_Place, _Vantage]) -> dict[_Place, _Vantage]:
    """Leave out young vantages that contradict an established one of their cell."""
    if all(vantage.is_old for vantage in tallies.values()):
        return dict(tallies)
    seniors: defaultdict[_Place, set[VerdictState]] = defaultdict(set)
    for key, vantage in tallies.items():
        if vantage.is_old and vantage.vote is not VerdictState.UNKNOWN:
            seniors[key[:-1]].add(vantage.vote)
    return {
        key: vantage
        for key, vantage in tallies.items()
        if vantage.is_old or seniors.get(key[:-1], {vantage.vote}) == {vantage.vote}
    }


def _build_vote(key: _Place, said: _Vantage) -> Vote:
    country, region, asn, access, service, start_us, nym = key
    counts = said.counts
    _, layer, method = said.cause
    functions = said.functions or Counter()
    _, function = min(((-n, names) for names, n in functions.items()), default=(0, ""))
    return Vote(
        country=country,
        region=region,
        asn=asn,
        access=access,
        service=service,
        start_us=start_us,
        pseudonym=nym,
        prefix=said.last[1],
        reachable=counts.get(VerdictState.REACHABLE, 0),
        blocked=counts.get(VerdictState.BLOCKED, 0),
        down=counts.get(VerdictState.DOWN, 0),
        unknown=counts.get(VerdictState.UNKNOWN, 0),
        layer=layer,
        method=method,
        partial=functions.total(),
        function=function,
        seniority=Seniority.ESTABLISHED if said.is_old else Seniority.YOUNG,
    )
