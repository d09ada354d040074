"""Import of OONI measurements: observations, a control, and OONI's verdict values.

README.md describes the conversion of each test and where our verdicts differ from OONI's.

Example:
    for document in read_documents([Path("measurements.jsonl")]):
        if isinstance(document, Document):
            imported = read_measurement(document.measurement)
            print(format_row(imported, judge(imported.record, imported.control)))
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

from heliograph.observation import Observation
from heliograph_collector.model.imported import OONI, ImportedResult
from heliograph_collector.model.records import Verdict, VerdictState
from heliograph_collector.sources.ooni import (
    fetches,
    messengers,
    name_tests,
    other_tests,
    tunnels,
    web,
)
from heliograph_collector.sources.ooni.blocking_only import UNNAMED_ADDRESS
from heliograph_collector.sources.ooni.document import OoniDocument
from heliograph_collector.sources.ooni.envelope import (
    OWN_CONTROL,
    ImportedMeasurement,
    UnreadableError,
    build_profile,
    normalize_test_name,
)
from heliograph_collector.sources.ooni.files import (
    Complaint,
    Document,
    parse_measurement,
    read_documents,
)
from heliograph_collector.sources.ooni.peers import PeerOutcomes

__all__ = [
    "TEST_READERS",
    "Complaint",
    "Document",
    "ImportRow",
    "ImportedMeasurement",
    "OoniDocument",
    "PeerOutcomes",
    "UnreadableError",
    "build_result",
    "format_row",
    "format_sentence",
    "has_control",
    "parse_measurement",
    "read_documents",
    "read_measurement",
]

BLOCKING = {"dns": "dns", "tcp": "tcp_ip"}  # by layer; all others are http-failure
OTHER_PAGE = frozenset(("other_page", "redirect", "block_page", "status_451"))
BLAMING_STATES = (VerdictState.BLOCKED, VerdictState.PARTIAL)
PRESUMED_FACTOR = 0.5  # assumed; share of a confidence that remains without a measured control


class ImportRow(TypedDict):
    """One line of `import ooni --json`; `accessible` and `blocking` are as OONI's."""

    input: str | None
    test_name: str
    probe_cc: str
    probe_asn: str
    verdict: str
    layer: str
    method: str
    accessible: bool | None
    blocking: str | bool | None
    confidence: float
    rule: str
    confirmed: bool  # by a fingerprint of a state or a provider
    fingerprint: str  # name of the line that the evidence has, "" for none
    reachable_endpoints: int  # k …
    endpoints: int  # … of n
    function: str  # of the service that does not work; "" where it is not known


def format_row(imported: ImportedMeasurement, verdicts: Sequence[Verdict]) -> ImportRow:
    overall = next(v for v in reversed(verdicts) if v.endpoint == "")
    return {
        "input": imported.input or None,
        "test_name": imported.test_name,
        "probe_cc": imported.probe_cc,
        "probe_asn": imported.probe_asn,
        "verdict": overall.state.value,
        "layer": overall.layer,
        "method": "" if _is_causeless(imported, overall) else overall.method,
        "accessible": map_accessible(overall),
        "blocking": map_blocking(imported, overall),
        "confidence": compute_confidence(imported, overall),
        "rule": overall.rule,
        "confirmed": overall.confirmed,
        "fingerprint": overall.fingerprint,
        "reachable_endpoints": overall.reachable_endpoints,
        "endpoints": overall.endpoints,
        "function": overall.function,
    }


def build_result(imported: ImportedMeasurement, verdicts: Sequence[Verdict]) -> ImportedResult:
    """Build the stored parts of a measurement."""
    overall = next(v for v in reversed(verdicts) if v.endpoint == "")
    record = imported.record
    return ImportedResult(
        source=OONI,
        key=record.id,
        country=imported.probe_cc,
        asn=record.vantage.asn,
        test=imported.test_name,
        target=imported.input,
        started_us=record.started_us,
        state=overall.state,
        layer=overall.layer,
        method=overall.method,
        rule=overall.rule,
        confidence=compute_confidence(imported, overall),
        reachable_endpoints=overall.reachable_endpoints,
        endpoints=overall.endpoints,
    )


def map_accessible(overall: Verdict) -> bool | None:
    """Return OONI's `accessible`: None if unknown, False if any function is blocked."""
    if overall.state is VerdictState.UNKNOWN:
        return None
    return overall.state is VerdictState.REACHABLE


def map_blocking(imported: ImportedMeasurement, overall: Verdict) -> str | bool | None:
    """Return OONI's `blocking`: False when nothing is blocked, None when unknown."""
    if overall.state is VerdictState.UNKNOWN:
        return None
    if overall.state not in BLAMING_STATES:
        return False
    if overall.method in OTHER_PAGE and overall.layer == "http":
        return "http-diff"
    blocking_value = BLOCKING.get(overall.layer, "http-failure")
    if blocking_value == "tcp_ip" and _is_redirected(imported, overall):
        return "http-failure"
    return blocking_value


def _is_redirected(imported: ImportedMeasurement, overall: Verdict) -> bool:
    """Return whether the evidence is not the URL's own recorded connection.

    OONI reports tcp_ip only for the URL's own connection that it records.
    """
    evidence = _select_evidence(imported, overall)
    addresses = {observation.tcp.address for observation in evidence if observation.tcp}
    is_unnamed = addresses == {UNNAMED_ADDRESS}
    return is_unnamed or any(x.endpoint.startswith("redirect-") for x in evidence)


def _select_evidence(imported: ImportedMeasurement, overall: Verdict) -> list[Observation]:
    observations = imported.record.measurement.observations
    return [observations[i] for i in overall.evidence if i < len(observations)]


def _is_causeless(imported: ImportedMeasurement, overall: Verdict) -> bool:
    """Return whether the failed step is known, but not its failure."""
    labels = {observation.endpoint for observation in _select_evidence(imported, overall)}
    is_blocked = overall.state in BLAMING_STATES
    return is_blocked and bool(labels) and labels <= imported.causeless_labels


def compute_confidence(imported: ImportedMeasurement, overall: Verdict) -> float:
    blaming_states = (*BLAMING_STATES, VerdictState.DOWN)
    is_weak = imported.presumed and overall.state in blaming_states
    return round(overall.confidence * (PRESUMED_FACTOR if is_weak else 1.0), 3)


def format_sentence(imported: ImportedMeasurement, verdicts: Sequence[Verdict]) -> str:
    """Format the row of `format_row` as a sentence."""
    row = format_row(imported, verdicts)
    probe_network = f"{row['probe_cc']} {row['probe_asn']}"
    verdict_text = row["verdict"]
    if row["function"]:
        verdict_text += f": {row['function'].replace(',', ', ')} blocked"
    if row["method"]:
        verdict_text += (
            f" ({row['layer']}, {row['method']})" if row["layer"] else f" ({row['method']})"
        )
    name = row["input"] or row["test_name"]
    return (
        f"{probe_network}  {name}: {verdict_text}, rule {row['rule']}, "
        f"confidence {row['confidence']:.2f}"
    )


TEST_READERS: Mapping[str, Callable[[OoniDocument], ImportedMeasurement]] = {
    "web_connectivity": web.read_web_connectivity,
    "telegram": messengers.read_telegram,
    "whatsapp": messengers.read_whatsapp,
    "signal": messengers.read_signal,
    "facebook_messenger": messengers.read_facebook_messenger,
    "dnscheck": other_tests.read_dnscheck,
    "stunreachability": other_tests.read_stunreachability,
    "tor": other_tests.read_tor,
    "http_header_field_manipulation": other_tests.read_header_fields,
    "http_invalid_request_line": other_tests.read_request_lines,
    "vanilla_tor": tunnels.read_tor_bootstrap,
    "torsf": tunnels.read_tor_bootstrap,
    "psiphon": tunnels.read_psiphon,
    "riseupvpn": tunnels.read_riseupvpn,
    "openvpn": tunnels.read_openvpn,
    "urlgetter": fetches.read_urlgetter,
    "browser_web": fetches.read_browser_web,
    "http_requests": fetches.read_http_requests,
    "sni_blocking": name_tests.read_sni_blocking,
    "echcheck": name_tests.read_echcheck,
    "dns_consistency": name_tests.read_dns_consistency,
}


def has_control(measurement: OoniDocument) -> bool:
    """Return whether it contains its own control, so that countries are not compared."""
    return normalize_test_name(measurement.test_name) in OWN_CONTROL


def read_measurement(measurement: OoniDocument) -> ImportedMeasurement:
    """Convert a measurement. Raises only UnreadableError, whatever the document holds."""
    name = measurement.test_name
    if not name:
        raise UnreadableError(
            "it has no test_name, so it is no measurement of OONI's; `import series` reads rows"
        )
    test = TEST_READERS.get(name) or TEST_READERS.get(normalize_test_name(name))
    if test is None:
        raise UnreadableError(f"the test {name[:40]!r} is not known here")
    try:
        imported = test(measurement)
        profile = build_profile(measurement, imported.record.link)
        return replace(imported, control=replace(imported.control, profile=profile))
    except UnreadableError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UnreadableError(f"its test_keys make no sense ({type(error).__name__})") from error
