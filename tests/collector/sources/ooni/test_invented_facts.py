"""Facts that a document lacks are not invented, for helper and vantage."""

from typing import Any

import pytest

from heliograph.failure import Operation
from support.ooni import RST, TIMEOUT, Json, import_document, judge_document, web

URL = "https://www.example.com/"
A, B = "93.184.216.34", "93.184.216.99"
END, OTHER = f"{A}:443", f"{B}:443"
GONE = "unknown_error"  # how helpers before October 2022 call most failures of the fetch
EXPIRED, FALSE_CA = "ssl_invalid_certificate", "ssl_unknown_authority"


def document(
    failure: str, page: object, *, helper: str = A, ends: tuple[str, ...] = (END,), url: str = URL
) -> Json:
    """Return a failed handshake here, and a helper with lookups, connections, fetch."""
    here = [{"system": A}, {f"connect {END}": "ok"}, {f"tls {END}": failure}]
    control = {"dns": helper, "ends": dict.fromkeys(ends, "ok"), "page": page}
    return web({"url": url, "here": here, "control": control}, "0.4")


def redirected(page: object, to: str = URL) -> Json:
    """A redirect to HTTPS, whose handshake fails here."""
    location = {"status": 301, "location": to}
    here = [{"system": A}, {f"connect {A}:80": "ok"}, {f"get {A}:80": location}]
    following = [{"system": A}, {f"connect {END}": "ok"}, {f"tls {END}": RST}]
    control = {"dns": A, "ends": {f"{A}:80": "ok"}, "page": page}
    row = {"url": "http://www.example.com/", "here": here, "redirect-1": following}
    return web({**row, "control": control}, "0.5")


def without_handshakes(failure: str, *, page: object = 200) -> Json:
    """A request that failed, as probes before 2021 list it: without its handshake."""
    made = document("ok", page)
    keys: dict[str, Any] = made["test_keys"]
    keys["tls_handshakes"] = []
    keys["requests"] = [{"failure": failure, "request": {"method": "GET", "url": URL}}]
    return made


CASES: list[tuple[str, Json, set[str]]] = [
    ("expired for everybody", document(EXPIRED, GONE), {"down", "unknown"}),
    ("untrusted for everybody", document(FALSE_CA, GONE), {"down", "unknown"}),
    ("reset for everybody", document(RST, GONE), {"down", "unknown"}),
    ("silent for everybody", document(TIMEOUT, TIMEOUT), {"down", "unknown"}),
    ("closed for everybody", document("eof_error", "eof_error"), {"down", "unknown"}),
    ("refused at other addresses", document(RST, "connection_refused_error"), {"down", "unknown"}),
    ("gone behind a redirect", redirected(GONE), {"down", "unknown"}),
    (
        "got, and led elsewhere by its country",
        redirected(200, "https://www.example.de/"),
        {"unknown"},
    ),
    ("got, after a redirect to HTTPS", redirected(200), {"blocked"}),
    ("got from this address", document(RST, 200), {"blocked"}),
    ("failed here in its certificate", without_handshakes(FALSE_CA), {"blocked", "unknown"}),
    ("reset here, nobody knows when", without_handshakes(RST), {"blocked", "unknown"}),
    ("reset for all, nobody knows when", without_handshakes(RST, page=GONE), {"down", "unknown"}),
]


@pytest.mark.parametrize(("measured", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_verdict_rests_on_recorded_steps_alone(measured: Json, wanted: set[str]) -> None:
    found = judge_document(measured)
    assert found["verdict"] in wanted, found


@pytest.mark.parametrize(("helper", "place"), [(A, A), (f"{A} {B}", B), (B, B)])
def test_handshake_of_the_helper_is_deduced_where_it_blames_the_vantage_least(
    helper: str, place: str
) -> None:
    """The helper's handshake is assumed where it blames the vantage least.

    An https page came by a handshake at one of the helper's addresses, which it does not name.
    """
    control = import_document(document(RST, 200, helper=helper, ends=(END, OTHER))).control
    assert control.measurement is not None
    steps = control.measurement.observations
    (handshake,) = (x for x in steps if x.operation is Operation.TLS_HANDSHAKE)
    assert handshake.parent is not None
    connection = steps[handshake.parent].tcp
    assert connection is not None
    assert connection.address == place
