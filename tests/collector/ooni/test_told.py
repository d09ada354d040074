"""Measurements that hold no rows, only what OONI's probe made of them."""

import pytest

from heliograph_collector.judge import judge
from heliograph_collector.ooni import line, read
from support.ooni import Json, frame

Outcome = tuple[str | bool | None, bool | None]  # blocking, accessible
OK: Outcome = (False, True)
DOUBT: Outcome = (None, None)
RST, REFUSED, STOP = "connection_reset", "connection_refused", "interrupted"


TOLD: list[tuple[str, Json, Outcome]] = [
    ("telegram", {}, DOUBT),
    (
        "telegram",
        {"telegram_web_failure": "EOF", "telegram_web_status": "blocked"},
        ("http-failure", False),
    ),
    ("telegram", {"telegram_web_failure": STOP, "telegram_web_status": "blocked"}, DOUBT),
    (
        "telegram",
        {"telegram_web_failure": REFUSED, "failed_operation": "connect"},
        ("tcp_ip", False),
    ),
    ("telegram", {"telegram_tcp_blocking": True, "telegram_http_blocking": True}, DOUBT),
    (
        "telegram",
        {
            "telegram_tcp_blocking": True,
            "telegram_http_blocking": True,
            "telegram_web_status": "ok",
        },
        ("tcp_ip", False),
    ),
    (
        "telegram",
        {
            "telegram_tcp_blocking": False,
            "telegram_http_blocking": True,
            "telegram_web_status": "ok",
        },
        ("http-failure", False),
    ),
    (
        "telegram",
        {
            "telegram_tcp_blocking": False,
            "telegram_http_blocking": False,
            "telegram_web_status": "ok",
        },
        OK,
    ),
    ("whatsapp", {"registration_server_status": "blocked"}, DOUBT),
    (
        "whatsapp",
        {
            "registration_server_status": "ok",
            "whatsapp_web_status": "ok",
            "whatsapp_endpoints_status": "blocked",
        },
        ("tcp_ip", False),
    ),
    (
        "whatsapp",
        {
            "registration_server_failure": STOP,
            "whatsapp_web_failure": STOP,
            "whatsapp_endpoints_status": "blocked",
        },
        DOUBT,
    ),
    (
        "signal",
        {"signal_backend_status": "blocked", "signal_backend_failure": RST},
        ("http-failure", False),
    ),
    ("signal", {"signal_backend_status": "blocked"}, DOUBT),
    ("signal", {"signal_backend_status": "ok", "signal_backend_failure": None}, OK),
    ("facebook_messenger", {"facebook_dns_blocking": True, "facebook_tcp_blocking": False}, DOUBT),
    ("facebook_messenger", {"facebook_dns_blocking": False, "facebook_tcp_blocking": False}, OK),
    (
        "facebook_messenger",
        {"facebook_edge_dns_consistent": False, "facebook_star_reachable": True},
        DOUBT,
    ),
]


@pytest.mark.parametrize(("name", "keys", "wanted"), TOLD, ids=str)
def test_summaries_alone(name: str, keys: Json, wanted: Outcome) -> None:
    """What stands in no row is believed where it is a word, or where the rest shows a full run."""
    seen = read(frame(name, keys))
    found = line(seen, judge(seen.taken, seen.control))
    assert (found["blocking"], found["accessible"]) == wanted, found


def test_what_is_not_told_is_not_made_up() -> None:
    keys = {
        "telegram_tcp_blocking": True,
        "telegram_http_blocking": True,
        "telegram_web_status": "ok",
    }
    seen = read(frame("telegram", keys))
    found = line(seen, judge(seen.taken, seen.control))
    assert (found["layer"], found["method"]) == ("tcp", "")
