"""Import of web_connectivity without the helper's answer.

Old and reduced measurements hold `dns_consistency` or `status_code_match`, but neither the lookups
nor the helper's page. These keys compare two observations and are no verdicts, and the probe wrote
them only after an answer of the helper. An unrecorded address becomes a symbol, which is equal on
both sides where the answers agreed.
"""

from dataclasses import dataclass

from msgspec import UNSET

from heliograph.failure import Operation
from heliograph.observation import Http, Link, Tcp, Tls
from heliograph_collector.model.records import ControlView
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import (
    Steps,
    presume_lookup,
    presume_step,
)
from heliograph_collector.sources.ooni.document import (
    HelperDns,
    HelperPage,
    OoniDocument,
    OoniKeys,
)
from heliograph_collector.sources.ooni.envelope import build_measurement
from heliograph_collector.sources.ooni.steps_builder import NAME_FAILURES, HopRows

# symbols for unrecorded addresses
UNNAMED_ADDRESS = "untold"
OTHER_UNNAMED_ADDRESS = "untold-elsewhere"
MATCHES = ("body_length_match", "headers_match", "title_match")


@dataclass(frozen=True, slots=True)
class HelperComparison:
    """Recorded comparison with the helper; `is_consistent` None means not compared."""

    is_consistent: bool | None
    has_page: bool  # the helper got a page
    is_same_page: bool  # the vantage got the same page


def read_helper_comparison(keys: OoniKeys) -> HelperComparison | None:
    """Read the comparison, None if the helper's answer is recorded or absent."""
    page = keys.control.http_request or HelperPage()
    dns = keys.control.dns or HelperDns()
    has_answer = page.status_code > 0 or dns.addrs or dns.failure
    if keys.control_failure or page.failure or has_answer:
        return None
    is_consistent = {"consistent": True, "inconsistent": False}.get(keys.dns_consistency)
    has_match = any(keys.flags.get(key) for key in MATCHES)
    status = keys.flags.get("status_code_match")
    has_page = status is not None or has_match or page.failure is not UNSET
    if is_consistent is None and not has_page:
        return None
    return HelperComparison(is_consistent, has_page, is_same_page=status is True and has_match)


def add_missing_steps(
    keys: OoniKeys, hop: HopRows, steps: Steps, comparison: HelperComparison
) -> None:
    """Add the vantage's lookup, and its page if it is the helper's, before the rows."""
    if hop.queries or archival.is_address(hop.host):
        return
    failures = [request.failure for request in hop.requests if request.failure]
    if any(failure.startswith("ssl_") for failure in failures):
        hop.url = "https" + hop.url[hop.url.index(":") :]  # a redirect led there
    name_failure = next((failure for failure in failures if failure in NAME_FAILURES), None)
    failure_code = keys.dns_experiment_failure or name_failure
    own = [row.ip for row in hop.connects] or [UNNAMED_ADDRESS]
    steps.add(presume_lookup(hop.host, failure_code, () if failure_code else own))
    if comparison.is_same_page and not failures and not hop.connects:
        _add_page(steps, hop)
        hop.requests = []


def build_control_view(
    document: OoniDocument, hop: HopRows, steps: Steps, comparison: HelperComparison
) -> ControlView:
    """Build a helper that resolved consistently or elsewhere, and may have the page."""
    control_steps = Steps()
    lookups = [x for x in steps.observations if x.dns and not x.endpoint]
    addresses = tuple(a for x in lookups if x.dns for a in x.dns.addresses) or (UNNAMED_ADDRESS,)
    if comparison.is_consistent is False:
        addresses = (OTHER_UNNAMED_ADDRESS,)
    lookup_failure = (
        next((x.failure for x in lookups if x.failure), None) if comparison.is_consistent else None
    )
    control_steps.add(presume_lookup(hop.host, lookup_failure, () if lookup_failure else addresses))
    if comparison.has_page and not lookup_failure:
        _add_page(control_steps, hop, addresses[0])
    helper_measurement = build_measurement(
        document, control_steps.observations, experiment="web", target=hop.url
    )
    return ControlView(measurement=helper_measurement, age_us=0, link=Link.ONLINE)


def _add_page(steps: Steps, hop: HopRows, address: str = UNNAMED_ADDRESS) -> None:
    """Add a page; its status is symbolic, because only its equality is recorded."""
    http = Http(method="GET", url=hop.url, status=200, title="untold", body_sha256="untold")
    tcp = Tcp(address=address, port=hop.port)
    parent = steps.add(presume_step(Operation.CONNECT, tcp=tcp), 0)
    if hop.is_secure:
        tls = Tls(server_name=hop.host)
        parent = steps.add(presume_step(Operation.TLS_HANDSHAKE, tls=tls), parent)
    parent = steps.add(presume_step(Operation.HTTP_ROUND_TRIP, http=http), parent)
    steps.add(presume_step(Operation.READ_BODY, http=http), parent)
