"""Measurements for the operator only: observations, verdicts and their rules."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from aiohttp import web

from heliograph import __version__
from heliograph.base64url import decode_base64url, encode_base64url
from heliograph.experiments import ooni_name
from heliograph.observation import Access
from heliograph_collector.http.api import measurement_json
from heliograph_collector.http.api.ooni_document import (
    OoniAnnotations,
    OoniMeasurement,
    OoniTestKeys,
)
from heliograph_collector.http.api.ooni_steps import build_test_keys
from heliograph_collector.http.api.parameters import (
    ACCESS,
    ASN,
    COUNTRY,
    CURSOR,
    EXPERIMENT,
    FORMAT,
    LIMIT,
    REGION,
    SERVICE,
    SINCE,
    STATE,
    UNTIL,
    QueryValues,
    parse,
)
from heliograph_collector.http.backend import MeasurementSource
from heliograph_collector.http.basic_auth import OperatorAuth
from heliograph_collector.http.headers import answer_json
from heliograph_collector.http.problem import Problem, bad_parameter
from heliograph_collector.model.filters import MeasurementFilter
from heliograph_collector.model.published.measurement import MeasurementsDocument
from heliograph_collector.model.records import (
    ControlView,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)

NETWORKS = {Access.MOBILE: "mobile", Access.FIXED: "wifi"}
PAGES = frozenset(("other_page", "redirect", "block_page", "status_451"))  # OONI: all are http-diff
FORMATS = {"dnst": 0, "httpt": 0, "netevents": 0, "tcpconnect": 0, "tlshandshake": 0}
_REDIRECT = re.compile(r"redirect-\d+")


def build_document(
    record: ReceivedMeasurement, verdicts: Sequence[Verdict], control: ControlView | None = None
) -> OoniMeasurement:
    """Build the document; a known `control` is written as OONI's test helper data."""
    measurement = record.measurement
    started = datetime.fromtimestamp(record.started_us // 1_000_000, UTC)
    keys = build_test_keys(measurement, control)
    _add_conclusion(keys, record, next((v for v in verdicts if v.endpoint == ""), None))
    return OoniMeasurement(
        annotations=OoniAnnotations(
            heliograph_id=record.id,
            network_type=NETWORKS.get(Access(record.vantage.access), ""),
        ),
        extensions=FORMATS,
        id=record.id,
        input=measurement.target or None,
        measurement_start_time=f"{started:%Y-%m-%d %H:%M:%S}",
        probe_asn=f"AS{record.vantage.asn}",
        probe_cc=record.vantage.country,
        software_version=__version__,
        test_keys=keys,
        test_name=ooni_name(measurement.experiment),
        test_runtime=measurement.runtime_us / 1e6,
        test_start_time=f"{started:%Y-%m-%d %H:%M:%S}",
        test_version=f"0.{measurement.experiment_version}.0",
    )


def _add_conclusion(
    keys: OoniTestKeys, record: ReceivedMeasurement, overall: Verdict | None
) -> None:
    """Add the conclusion in OONI's terms where they exist, and in ours."""
    keys.accessible = _is_accessible(overall)
    keys.blocking = _classify_blocking(record, overall)
    if overall:
        keys.x_heliograph_rule = overall.rule
        keys.x_heliograph_fingerprint = overall.fingerprint or None
        keys.x_heliograph_confirmed = overall.confirmed
        keys.x_heliograph_state = overall.state.value
        keys.x_heliograph_method = overall.method
    keys.x_heliograph_link = record.link.value


def _is_accessible(overall: Verdict | None) -> bool | None:
    if overall is None or overall.state is VerdictState.UNKNOWN:
        return None
    return overall.state is VerdictState.REACHABLE


def _classify_blocking(record: ReceivedMeasurement, overall: Verdict | None) -> str | bool | None:
    """Return dns, tcp_ip, http-failure, http-diff, False, or None if undecided."""
    if overall is None or overall.state is VerdictState.UNKNOWN:
        return None
    if overall.state is not VerdictState.BLOCKED:
        return False
    if overall.layer == "http" and overall.method in PAGES:
        return "http-diff"
    layer_code = {"dns": "dns", "tcp": "tcp_ip"}.get(overall.layer, "http-failure")
    return (
        "http-failure" if layer_code == "tcp_ip" and _is_redirected(record, overall) else layer_code
    )


def _is_redirected(record: ReceivedMeasurement, overall: Verdict) -> bool:
    """Return whether a redirect failed; OONI's tcp_ip means only the URL's own host."""
    observations = record.measurement.observations
    labels = {observations[i].endpoint for i in overall.evidence if i < len(observations)}
    return any(_REDIRECT.fullmatch(label) for label in labels)


LIST_PARAMETERS = (
    COUNTRY,
    REGION,
    ASN,
    ACCESS,
    SERVICE,
    EXPERIMENT,
    STATE,
    SINCE,
    UNTIL,
    CURSOR,
    LIMIT,
)
ITEM_PARAMETERS = (FORMAT,)
ID_PATTERN = re.compile("[0-9a-f]{32}")


class MeasurementApi:
    def __init__(self, source: MeasurementSource, operator: OperatorAuth) -> None:
        self._source = source
        self._operator = operator

    async def list_measurements(self, request: web.Request) -> web.Response:
        await self._operator.require(request)
        values = parse(request.query, LIST_PARAMETERS)
        position = read_cursor(values.get(CURSOR, ""))
        try:
            result_page = await self._source.measurements(
                build_filter(values), position, values.get(LIMIT, 100)
            )
        except ValueError:
            raise _cursor_problem() from None
        return answer_json(
            MeasurementsDocument(
                measurements=tuple(
                    measurement_json.build_document(*judged) for judged in result_page.items
                ),
                next=write_cursor(result_page.next) if result_page.next else None,
            )
        )

    async def get_measurement(self, request: web.Request) -> web.Response:
        await self._operator.require(request)
        values = parse(request.query, ITEM_PARAMETERS)
        id_ = request.match_info["id"]
        judged = await self._source.measurement(id_) if ID_PATTERN.fullmatch(id_) else None
        if judged is None:
            raise Problem(
                404,
                "No such measurement",
                "Ids have 32 hex digits and are kept for a limited time.",
            )
        if values.get(FORMAT) == "ooni":
            return answer_json(build_document(*judged))
        return answer_json(measurement_json.build_document(*judged))


def build_filter(values: QueryValues) -> MeasurementFilter:
    """Return the filter of LIST_PARAMETERS."""
    return MeasurementFilter(
        country=values.get(COUNTRY, ""),
        region=values.get(REGION, ""),
        asn=values.get(ASN),
        access=values.get(ACCESS, ""),
        service=values.get(SERVICE, ""),
        experiment=values.get(EXPERIMENT, ""),
        state=values.get(STATE, ""),
        since_us=values.get(SINCE),
        until_us=values.get(UNTIL),
    )


def write_cursor(position: str) -> str:
    """Encode a position as an opaque cursor, so that the store may change its format."""
    return encode_base64url(position.encode())


def read_cursor(cursor: str) -> str:
    """Decode a cursor. Raises Problem."""
    try:
        return decode_base64url(cursor).decode()
    except ValueError:
        raise _cursor_problem() from None


def _cursor_problem() -> Problem:
    return bad_parameter(
        "cursor", "The parameter cursor is not one of ours; start again without it.", CURSOR.allowed
    )
