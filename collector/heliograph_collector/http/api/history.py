"""`/api/v1/history`: the rows of a page of chosen days, as JSON or CSV."""

import csv
import io
from collections.abc import Mapping, Sequence

from aiohttp import web

from heliograph.timestamps import format_time
from heliograph_collector.http import labels
from heliograph_collector.http.api.aggregation import quote_formula
from heliograph_collector.http.api.parameter_types import choice_parameter
from heliograph_collector.http.api.parameters import (
    ASN,
    COUNTRY,
    FIRST_DAY,
    LANG,
    LAST_DAY,
    REGION,
    SERVICE,
    QueryValues,
    parse,
)
from heliograph_collector.http.backend import NetworkNamer, SiteSource
from heliograph_collector.http.charts.timeline_rows import iter_runs
from heliograph_collector.http.headers import respond_json, respond_text
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.known_networks import KnownNetworks
from heliograph_collector.http.pages.history_page import HistoryView
from heliograph_collector.http.pages.history_routes import HistoryPages
from heliograph_collector.http.pages.history_tracks import Track, build_tracks
from heliograph_collector.http.pages.subject_page import Subject, network_path
from heliograph_collector.http.problem import bad_parameter
from heliograph_collector.model.published.history import (
    HistoryDocument,
    HistoryRowDocument,
    HistoryRunDocument,
)

CHART_PARAMETERS = (COUNTRY, REGION, ASN, SERVICE, FIRST_DAY, LAST_DAY, LANG)
FORMAT = choice_parameter("format", "JSON when not given.", ("json", "csv"), "csv")
HISTORY = (COUNTRY, REGION, ASN, SERVICE, FIRST_DAY, LAST_DAY, FORMAT)
CSV = "text/csv"
_MAX_AGE_S = 300
_COLUMNS = ("country", "region", "asn", "operator", "access", "service", "vantages", "layer",
            "method")  # fmt: skip
_RUN_COLUMNS = ("since", "until", "state", "share")


class HistoryApi:
    def __init__(
        self, feed: SiteSource, known_networks: KnownNetworks, history_pages: HistoryPages
    ) -> None:
        self._feed = feed
        self._known_networks = known_networks
        self._history_pages = history_pages

    async def __call__(self, request: web.Request) -> web.Response:
        values = parse(request.query, HISTORY)
        subject = read_subject(values, Locale())
        await self._known_networks.require(values.get(ASN))
        view = await self._history_pages.read_drawable(subject, values)
        document = build_history(
            view, self._feed.site.publisher.license, self._feed.site.network_names
        )
        if values.get(FORMAT) == "csv":
            return respond_text(request, _format_csv(document.rows), CSV, max_age_s=_MAX_AGE_S)
        return respond_json(request, document, max_age_s=_MAX_AGE_S)


def read_subject(values: QueryValues, t: Locale) -> Subject:
    """Return what the parameters name. Raises Problem."""
    country = values.get(COUNTRY, "")
    region = values.get(REGION, "")
    asn = values.get(ASN, 0)
    service = values.get(SERVICE, "")
    named = {"country": country} if country else {}
    if region:
        if asn:
            raise bad_parameter("asn", "Name a region or a network, not both.", ASN.allowed)
        path = f"/countries/{region[:2]}/{region}"
        filters = {"country": region[:2], "region": region}
        return _build_subject("region", labels.region_name(region, t.lang), path, filters)
    if asn:
        filters = named | {"asn": f"AS{asn}"}
        return _build_subject("network", f"AS{asn}", network_path(asn), filters)
    if country:
        title = labels.country_name(country, t.lang)
        return _build_subject("country", title, f"/countries/{country}", named)
    if service:
        return _build_subject("service", service, f"/services/{service}", {"service": service})
    raise bad_parameter(
        "country", "Name a country, a region, a network or a service.", COUNTRY.allowed
    )


def _build_subject(kind: str, title: str, path: str, filters: Mapping[str, str]) -> Subject:
    return Subject(kind=kind, title=title, path=path, parents=(), filters=filters, timeline=filters)


def build_history(view: HistoryView, license_name: str, names: NetworkNamer) -> HistoryDocument:
    """Build the document of a view."""
    first_us = view.history.first_us
    last_us = view.history.last_us
    return HistoryDocument(
        since=format_time(view.days.since_us),
        until=format_time(view.days.until_us),
        bin_s=view.days.bin_s,
        k_anonymity=view.k,
        license=license_name,
        first_day=None if first_us is None else format_time(first_us),
        last_day=None if last_us is None else format_time(last_us),
        rows=tuple(
            _build_row(track, view, names) for track in build_tracks(view.history.rows, view.days)
        ),
    )


def _build_row(track: Track, view: HistoryView, names: NetworkNamer) -> HistoryRowDocument:
    _, country, region, asn, access, service = track.id
    starts = view.days.starts
    return HistoryRowDocument(
        country=country,
        region=region,
        asn=asn,
        operator=names.name_network(asn) if asn else "",
        access=access,
        service=service,
        vantages=track.vantages,
        layer=track.layer,
        method=track.method,
        runs=tuple(
            HistoryRunDocument(
                since=format_time(starts[first]),
                until=format_time(starts[after - 1] + starts.step),
                state=mark.value,
                share=round(share, 2),
            )
            for first, after, mark, share in iter_runs(track.row)
            if mark is not None
        ),
    )


def _format_csv(rows: Sequence[HistoryRowDocument]) -> str:
    """Format one line for each run."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow((*_COLUMNS, *_RUN_COLUMNS))
    for row in rows:
        names = [quote_formula(getattr(row, name)) for name in _COLUMNS]
        for run in row.runs:
            writer.writerow((*names, *(getattr(run, name) for name in _RUN_COLUMNS)))
    return out.getvalue()
