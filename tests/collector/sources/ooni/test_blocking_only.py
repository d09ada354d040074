"""Measurements that hold no rows, only what OONI's probe made of them."""

import pytest

from support.ooni import REFUSED, RST, STOP, TIMEOUT, Json, frame, judge_document

Outcome = tuple[str | bool | None, bool | None]  # blocking, accessible
OK: Outcome = (False, True)
DOUBT: Outcome = (None, None)
HTTP: Outcome = ("http-failure", False)
TCP: Outcome = ("tcp_ip", False)
DNS: Outcome = ("dns", False)


def telegram(tcp: bool, http: bool) -> Json:
    keys: Json = {"telegram_tcp_blocking": tcp, "telegram_http_blocking": http}
    return keys | {"telegram_web_status": "ok"}


def whatsapp(**keys: str) -> Json:
    return {"whatsapp_endpoints_status": "blocked", **keys}


WORK = {"registration_server_status": "ok", "whatsapp_web_status": "ok"}
CUT = {"registration_server_failure": STOP, "whatsapp_web_failure": STOP}
STAR = {"facebook_edge_dns_consistent": False, "facebook_star_reachable": True}
NXDOMAIN = {"dns_experiment_failure": "dns_nxdomain_error"}
SAME, OTHER = {"dns_consistency": "consistent"}, {"dns_consistency": "inconsistent"}
TOLD: list[tuple[str, Json, Outcome]] = [
    ("telegram", {}, DOUBT),
    ("telegram", {"telegram_web_failure": "EOF", "telegram_web_status": "blocked"}, HTTP),
    ("telegram", {"telegram_web_failure": STOP, "telegram_web_status": "blocked"}, DOUBT),
    ("telegram", {"telegram_web_failure": REFUSED, "failed_operation": "connect"}, TCP),
    ("telegram", {"telegram_tcp_blocking": True, "telegram_http_blocking": True}, DOUBT),
    ("telegram", telegram(tcp=True, http=True), TCP),
    ("telegram", telegram(tcp=False, http=True), HTTP),
    ("telegram", telegram(tcp=False, http=False), OK),
    ("whatsapp", {"registration_server_status": "blocked"}, DOUBT),
    ("whatsapp", whatsapp(**WORK), TCP),
    ("whatsapp", whatsapp(**CUT), DOUBT),
    ("signal", {"signal_backend_status": "blocked", "signal_backend_failure": RST}, HTTP),
    ("signal", {"signal_backend_status": "blocked"}, DOUBT),
    ("signal", {"signal_backend_status": "ok", "signal_backend_failure": None}, OK),
    ("facebook_messenger", {"facebook_dns_blocking": True, "facebook_tcp_blocking": False}, DOUBT),
    ("facebook_messenger", {"facebook_dns_blocking": False, "facebook_tcp_blocking": False}, OK),
    ("facebook_messenger", STAR, DOUBT),
]


@pytest.mark.parametrize(("name", "keys", "wanted"), TOLD, ids=str)
def test_summaries_alone(name: str, keys: Json, wanted: Outcome) -> None:
    """A summary is believed if it is a word, or if the rest shows a full run."""
    found = judge_document(frame(name, keys))
    assert (found["blocking"], found["accessible"]) == wanted, found


def test_what_is_not_told_is_not_made_up() -> None:
    found = judge_document(frame("telegram", telegram(tcp=True, http=True)))
    assert (found["layer"], found["method"]) == ("tcp", "")


# A helper whose answer the probe did not store: no failure and no result.
EMPTY_PAGE = {"body_length": 0, "failure": None, "title": "", "headers": None, "status_code": 0}
EMPTY = {"tcp_connect": None, "http_request": EMPTY_PAGE, "dns": {"failure": None, "addrs": None}}
CLEAR, SECURE = "http://www.example.com/", "https://www.example.com/"
TIMED_OUT = {"port": 80, "status": {"failure": TIMEOUT, "success": False}}
SILENT = {"tcp_connect": [{"ip": f"93.184.216.{n}", **TIMED_OUT} for n in range(7)]}


def failed(word: str) -> Json:
    return {"requests": [{"failure": word}], "control": EMPTY}


WEB: list[tuple[str, Json, Outcome]] = [
    (CLEAR, failed(REFUSED), HTTP),
    (CLEAR, failed(RST), HTTP),
    (SECURE, failed("EOF"), HTTP),
    (SECURE, failed("generic_timeout_error"), HTTP),
    (CLEAR, failed("dns_nxdomain_error"), DNS),
    (CLEAR, failed("ssl_invalid_hostname"), DOUBT),
    (SECURE, failed("ssl_unknown_authority"), DOUBT),  # whose it was is not told
    (SECURE, failed("ssl_invalid_certificate"), DOUBT),  # most likely the clock
    (SECURE, failed(STOP), DOUBT),
    (CLEAR, {"requests": [{"failure": RST}]}, DOUBT),  # no word of a helper at all
    (CLEAR, failed(RST) | {"control_failure": "EOF"}, DOUBT),
    (CLEAR, {"requests": [{"failure": RST}], "control": {}}, DOUBT),
    (CLEAR, {"control": {"http_request": {"failure": "EOF"}}}, DOUBT),
    (CLEAR, NXDOMAIN | SAME, (False, False)),
    (CLEAR, NXDOMAIN | OTHER, DNS),
    (CLEAR, SAME | SILENT | {"control": EMPTY}, TCP),
    (CLEAR, OTHER | SILENT | {"control": EMPTY}, DOUBT),
    (SECURE, failed("ssl_unknown_authority") | OTHER, DOUBT),
    (CLEAR, {"requests": [{}], "status_code_match": True, "title_match": True}, OK),
    (CLEAR, {"requests": [{}], "status_code_match": True}, DOUBT),
    (CLEAR, {"requests": [{}], "status_code_match": False, "title_match": True}, DOUBT),
    (SECURE, {"requests": [{"failure": None, "request": {"url": SECURE}}]}, OK),
]


@pytest.mark.parametrize(("url", "keys", "wanted"), WEB, ids=str)
def test_comparisons_alone(url: str, keys: Json, wanted: Outcome) -> None:
    found = judge_document(frame("web_connectivity", keys, input=url))
    assert (found["blocking"], found["accessible"]) == wanted, found
