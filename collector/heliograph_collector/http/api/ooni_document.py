"""A measurement in OONI's base data format 0.2.0, so that their tools can read it.

Field names are those of OONI's df-000 (base), df-001 (HTTP), df-002 (DNS), df-005 (TCP), df-006
(TLS). What has no place there is under names that begin with `x_`.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from heliograph import __version__
from heliograph.experiments import ooni_name
from heliograph.observation import Access
from heliograph_collector.http.api.ooni_steps import keys_of
from heliograph_collector.model.records import ControlView, State, Taken, Verdict

Json = dict[str, Any]
NETWORKS = {Access.MOBILE: "mobile", Access.FIXED: "wifi"}
PAGES = frozenset(("other_page", "redirect", "block_page", "status_451"))  # http-diff, in one word
FORMATS = {"dnst": 0, "httpt": 0, "netevents": 0, "tcpconnect": 0, "tlshandshake": 0}
_REDIRECT = re.compile(r"redirect-\d+")


def document(taken: Taken, verdicts: Sequence[Verdict], control: ControlView | None = None) -> Json:
    """`control`, where it is at hand, is written as the test helper's sight of a page."""
    m = taken.measurement
    started = _moment(taken.started_us)
    keys = keys_of(m, control)
    if m.experiment == "tor":
        keys["targets"] = _relays(keys)
    return {
        "annotations": {
            "heliograph_id": taken.id,
            "network_type": NETWORKS.get(Access(taken.vantage.access), ""),
        },
        "data_format_version": "0.2.0",
        "extensions": dict(FORMATS),
        "id": taken.id,
        "input": m.target or None,
        "input_hashes": [],
        "measurement_start_time": started,
        "options": [],
        "probe_asn": f"AS{taken.vantage.asn}",
        "probe_cc": taken.vantage.country,
        "probe_city": None,
        "probe_ip": "127.0.0.1",
        "probe_network_name": "",
        "report_id": "",
        "resolver_asn": "AS0",
        "resolver_ip": "127.0.0.2",
        "resolver_network_name": "",
        "software_name": "heliograph",
        "software_version": __version__,
        "test_helpers": {},
        "test_keys": {**keys, **_conclusion(taken, verdicts)},
        "test_name": ooni_name(m.experiment),
        "test_runtime": m.runtime_us / 1e6,
        "test_start_time": started,
        "test_version": f"0.{m.experiment_version}.0",
    }


def _relays(keys: Json) -> Json:
    """OONI's tor keeps the steps of each relay together."""
    relays: Json = {}
    for row in keys["tcp_connect"]:
        name = next(tag.partition("=")[2] for tag in row["tags"] if tag.startswith("endpoint="))
        address = f"{row['ip']}:{row['port']}"
        relay = {"target_address": address, "target_protocol": name.partition("-")[0]}
        relay |= {"target_name": name, "failure": row["status"]["failure"], "tcp_connect": [row]}
        hands = [hand for hand in keys["tls_handshakes"] if f"endpoint={name}" in hand["tags"]]
        relays.setdefault(address, relay | {"tls_handshakes": hands})
    return relays


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _conclusion(taken: Taken, verdicts: Sequence[Verdict]) -> Json:
    """In OONI's words as far as they go, and in ours."""
    whole = next((v for v in verdicts if v.endpoint == ""), None)
    return {
        "accessible": _accessible(whole),
        "blocking": _blocking(taken, whole),
        "x_heliograph_rule": whole.rule if whole else None,
        "x_heliograph_state": whole.state.value if whole else None,
        "x_heliograph_method": whole.method if whole else None,
        "x_heliograph_link": taken.link.value,
    }


def _accessible(whole: Verdict | None) -> bool | None:
    if whole is None or whole.state is State.UNKNOWN:
        return None
    return whole.state is State.REACHABLE


def _blocking(taken: Taken, whole: Verdict | None) -> str | bool | None:
    """dns, tcp_ip, http-failure, http-diff, False, or None when nobody can say."""
    if whole is None or whole.state is State.UNKNOWN:
        return None
    if whole.state is not State.BLOCKED:
        return False
    if whole.layer == "http" and whole.method in PAGES:
        return "http-diff"
    word = {"dns": "dns", "tcp": "tcp_ip"}.get(whole.layer, "http-failure")
    return "http-failure" if word == "tcp_ip" and _redirected(taken, whole) else word


def _redirected(taken: Taken, whole: Verdict) -> bool:
    """OONI says tcp_ip of the URL's own connection alone."""
    seen = taken.measurement.observations
    labels = {seen[i].endpoint for i in whole.evidence if i < len(seen)}
    return any(_REDIRECT.fullmatch(label) for label in labels)
