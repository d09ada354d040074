"""Build rows of other projects' results in the chosen days. Pure.

A bar is a day: blocked or reachable if two thirds of the decided measurements agree, as for a cell
of ours, else in doubt. A block by one network is a block too, as in our rows, in a lower bar: there
two thirds of that network's measurements must agree, three or more on days in a row. The vantages
are unknown here, so nothing else is concluded.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from heliograph.units import DAY_US
from heliograph_collector.aggregate.cell_state import decide_state
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.backend import NetworkNamer
from heliograph_collector.http.charts import timeline_rows
from heliograph_collector.http.charts.history_chart import ChartRow, HistoryChart, list_legend
from heliograph_collector.http.day_range import DayRange
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.pages.country_timeline import BinMark, IncidentSpan, TimelineRow
from heliograph_collector.http.pages.state_rows import StateRow, build_row
from heliograph_collector.model.imported import (
    IMPORT_SOURCES,
    ImportedHistory,
    ImportedRow,
    ImportSource,
    ReportedOutage,
    StateCounts,
)
from heliograph_collector.model.records import VerdictState

MAX_TARGETS = 25  # of one page: those found blocked most often; assumed
REPORTERS = {"ioda": "IODA", "radar": "Cloudflare Radar"}
_MAX_NAMED = 4  # networks that a row names
_LEAST_BLOCKED = 3  # measurements of a network; one or two may be one poor line; assumed
_MAX_SENTENCE_NAMES = 5  # targets that the sentence names


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedTable:
    """The rows, and whose data they are."""

    rows: Sequence[StateRow]
    sources: Sequence[ImportSource]
    omitted: int  # targets in no row
    newest: str  # day of the newest measurement; "" without any
    outages: Sequence[StateRow] = ()
    credits: Sequence[tuple[str, str]] = ()  # (attribution, page) of who reported outages


def build_imported_table(
    imported: ImportedHistory,
    days: DayRange,
    names: NetworkNamer,
    titles: Mapping[str, str],
    t: Locale,
    *,
    now_us: int,
    by_country: bool,
) -> ImportedTable | None:
    """Build the table, by country if all rows are one service; None without rows."""
    if not imported.rows and not imported.outages:
        return None
    rows = [
        _build_row(row, _name_row(row, titles, t, by_country=by_country), days, names, t)
        for row in imported.rows
    ]
    return ImportedTable(
        rows=[
            *(row for row in rows if row.state == VerdictState.BLOCKED),
            *(row for row in rows if row.state != VerdictState.BLOCKED),
        ],
        sources=[IMPORT_SOURCES[name] for name in sorted({row.source for row in imported.rows})],
        omitted=imported.targets - len(imported.rows),
        newest=i18n.format_day(t.lang, i18n.to_datetime(imported.newest_us))
        if imported.rows
        else "",
        outages=_build_outage_rows(imported.outages, days, now_us, t),
        credits=sorted({(x.attribution, x.url) for x in imported.outages}),
    )


def build_imported_chart(
    table: ImportedTable | None, starts: range, most: int, t: Locale, *, title: str, address: str
) -> HistoryChart:
    """Build the table as an image that names the data's owner and license."""
    table = table or ImportedTable(rows=(), sources=(), omitted=0, newest="")
    listed = [*table.outages, *table.rows]
    left = table.omitted + len(listed[most:])
    return HistoryChart(
        title=title,
        sentence=describe_imported(table, (), t)
        or t("history.others" if listed else "history.nothing_of_others"),
        rows=[
            ChartRow(title=row.title, subtitle=" · ".join((row.label, row.cause)), chart=row.chart)
            for row in listed[:most]
        ],
        omitted=t("history.more_targets", n=left) if left else "",
        footer=" · ".join(
            (
                *(f"{source.name}, {source.license}" for source in table.sources),
                *(attribution for attribution, _ in table.credits),
                t("history.judged_here", address=address),
                "UTC",
            )
        ),
        legend=list_legend(t),
        starts=starts,
    )


def describe_imported(table: ImportedTable, ours_blocked: Container[str], t: Locale) -> str:
    """Return a sentence that names what others alone found blocked; "" for nothing."""
    names = [
        row.title
        for row in table.rows
        if row.state == VerdictState.BLOCKED and row.title not in ours_blocked
    ]
    listed = list(dict.fromkeys(names))[:_MAX_SENTENCE_NAMES]
    if not listed:
        return ""
    if len(set(names)) > len(listed):
        listed.append("…")
        return t("history.others_blocked", names=t("list.comma").join(listed))
    return t("history.others_blocked", names=i18n.join_names(t.lang, listed))


def _build_outage_rows(
    outages: Sequence[ReportedOutage], days: DayRange, now_us: int, t: Locale
) -> list[StateRow]:
    """Build a row for each signal: outages as spans, without bars, which are verdicts."""
    by_signal: dict[tuple[str, str], list[ReportedOutage]] = {}
    for outage in outages:
        by_signal.setdefault((outage.source, outage.signal), []).append(outage)
    starts = days.starts
    rows = []
    for (source, signal), listed in sorted(by_signal.items()):
        spans = tuple(
            IncidentSpan(
                BinMark.SILENT,
                outage.since_us,
                now_us if outage.until_us is None else outage.until_us,
            )
            for outage in listed
        )
        nothing = (None,) * len(starts)
        bars = TimelineRow(marks=nothing, shares=(1.0,) * len(starts), spans=spans)
        rows.append(
            StateRow(
                id=f"outages-{source}-{signal}",
                title=REPORTERS.get(source, source),
                subtitle=signal,
                state="nothing",
                symbol="\N{EN DASH}",
                label=t("history.outages", n=len(listed)),
                cause=t(
                    "history.from_to",
                    since=timeline_rows.format_time(listed[0].since_us, t),
                    until=timeline_rows.format_time(spans[-1].until_us, t),
                ),
                chart=timeline_rows.draw_row(bars, starts, t),
            )
        )
    return rows


@lru_cache(maxsize=4096)  # most days of most targets have the same few counts
def decide_imported(counts: StateCounts) -> VerdictState:
    """Decide by two thirds of the measurements that know, as of a cell."""
    return decide_state(
        Counter(
            {
                VerdictState.REACHABLE: counts.reachable + counts.partial,
                VerdictState.BLOCKED: counts.blocked,
                VerdictState.DOWN: counts.down,
                VerdictState.UNKNOWN: counts.unknown,
            }
        )
    )


def _name_row(
    row: ImportedRow, titles: Mapping[str, str], t: Locale, *, by_country: bool
) -> tuple[str, str]:
    """Return title and subtitle of a row."""
    if by_country:
        return labels.country_name(row.country, t.lang), row.target
    is_site = "://" in row.target
    title = (
        urlsplit(row.target).netloc if is_site else labels.service_title(row.test, titles, t.lang)
    )
    subtitle = row.target if is_site else row.test
    return title or row.target or row.test, "" if subtitle == title else subtitle


def _build_row(
    row: ImportedRow,
    title: tuple[str, str],
    days: DayRange,
    names: NetworkNamer,
    t: Locale,
) -> StateRow:
    blocking = find_blocking_networks(row)
    blocked_days = [
        day
        for day, counts in sorted(row.days.items())
        if day in blocking or decide_imported(counts) is VerdictState.BLOCKED
    ]
    state = VerdictState.BLOCKED if blocked_days else decide_imported(row.total)
    return build_row(
        "-".join(("imported", row.country, row.source, row.test, row.target)),
        *title,
        state.value,
        t,
        cause=" · ".join(_list_facts(row, blocked_days, blocking, names, t)),
        chart=timeline_rows.draw_row(_build_bars(row, blocking, days), days.starts, t),
    )


def find_blocking_networks(row: ImportedRow) -> Mapping[int, Mapping[int, int]]:
    """Find the networks that blocked, by day, with their numbers of blocked tests.

    A day with enough of them needs no look at the days around it, and most days have enough.
    """
    days = sorted(row.agreeing_networks)
    blocking: dict[int, dict[int, int]] = {}
    sparse: set[int] = set()  # networks with a day of too few measurements
    for day in days:
        networks = row.agreeing_networks[day]
        enough = {asn: blocked for asn, blocked in networks.items() if blocked >= _LEAST_BLOCKED}
        sparse |= networks.keys() - enough.keys()
        if enough:
            blocking[day] = enough
    for asn in sparse:
        for run in _split_runs(day for day in days if asn in row.agreeing_networks[day]):
            counts = {day: row.agreeing_networks[day][asn] for day in run}
            if sum(counts.values()) >= _LEAST_BLOCKED:
                for day, blocked in counts.items():
                    blocking.setdefault(day, {})[asn] = blocked
    return blocking


def _split_runs(days: Iterable[int]) -> list[list[int]]:
    """Split days in their order where one is missing."""
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - DAY_US:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _build_bars(
    row: ImportedRow, blocking: Mapping[int, Mapping[int, int]], days: DayRange
) -> TimelineRow:
    """Build one bar a day, however wide the bins of the chart are."""
    starts = days.starts
    bins_a_day = DAY_US // starts.step
    marks: list[BinMark | None] = [None] * len(starts)
    shares = [1.0] * len(starts)
    for day_us, counts in row.days.items():
        first = (day_us - days.since_us) // starts.step
        if 0 <= first < len(marks):
            mark = BinMark(decide_imported(counts).value)
            if mark != BinMark.BLOCKED and day_us in blocking:
                mark = BinMark.BLOCKED
                shares[first : first + bins_a_day] = [counts.blocked / sum(counts)] * bins_a_day
            marks[first : first + bins_a_day] = [mark] * bins_a_day
    return TimelineRow(marks=tuple(marks), shares=tuple(shares))


def _list_facts(
    row: ImportedRow,
    blocked_days: Sequence[int],
    blocking: Mapping[int, Mapping[int, int]],
    names: NetworkNamer,
    t: Locale,
) -> list[str]:
    """List a row's blocked days, its blocked measurements, and the networks."""
    total = sum(row.total)
    if not row.total.blocked:
        return [t("history.measurements", n=total)]
    facts = []
    if blocked_days:
        facts.append(t("history.bad_days", n=len(blocked_days), total=len(row.days)))
        since, until = (
            i18n.format_short_day(t.lang, i18n.to_datetime(day))
            for day in (blocked_days[0], blocked_days[-1])
        )
        facts.append(since if since == until else t("history.from_to", since=since, until=until))
    facts.append(t("history.imported_blocked", n=row.total.blocked, total=total))
    counts = sum(map(Counter, blocking.values()), Counter[int]()) or row.blocked_networks
    facts += list_networks(counts, names, t)
    partly = {
        asn: blocked
        for asn, blocked in row.partly_blocked.items()
        if asn not in counts and blocked >= _LEAST_BLOCKED
    }
    if partly:
        facts.append(t("history.partly", names=", ".join(list_networks(partly, names, t))))
    return facts


def list_networks(counts: Mapping[int, int], names: NetworkNamer, t: Locale) -> list[str]:
    """List the networks of the highest counts in one text, others' number in a second."""
    ranked = sorted(counts, key=lambda asn: (-counts[asn], asn))
    facts = [i18n.join_names(t.lang, [_name_network(asn, names, t) for asn in ranked[:_MAX_NAMED]])]
    if len(ranked) > _MAX_NAMED:
        facts.append(t("history.more_networks", n=len(ranked) - _MAX_NAMED))
    return facts


def _name_network(asn: int, names: NetworkNamer, t: Locale) -> str:
    name = names.name_network(asn)
    return f"{name} (AS{asn})" if name else f"AS{asn}" if asn else t("country.others")
