"""Signal's hosts come and go, and some were never steady."""

from typing import Any

import pytest

from support.ooni import connect, frame, handshake, judge_document, query, request

OLD, NEW = "2021-02-01 10:00:00", "2024-02-01 10:00:00"
RETIRED, RARE, CORE = (
    "textsecure-service.whispersystems.org",
    "api.backup.signal.org",
    "chat.signal.org",
)


def measured(host: str, word: str, day: str) -> dict[str, Any]:
    keys: dict[str, Any] = {"queries": [], "tcp_connect": [], "tls_handshakes": [], "requests": []}
    for number, (name, outcome) in enumerate((("storage.signal.org", "ok"), (host, word)), 1):
        end = f"13.248.212.{number}:443"
        keys["queries"] += query("system", name, end.partition(":")[0])
        keys["tcp_connect"].append(connect(end, "ok"))
        keys["tls_handshakes"].append(handshake(end, outcome, name))
        if outcome == "ok":
            keys["requests"].append(request(f"https://{name}/", 200, end))
        else:
            keys["requests"].append(request(f"https://{name}/", outcome))
    return frame("signal", keys, measurement_start_time=day)


@pytest.mark.parametrize(
    ("host", "word", "day", "verdict"),
    [
        (RETIRED, "connection_reset", OLD, "blocked"),
        (RETIRED, "connection_reset", NEW, "reachable"),
        (RARE, "generic_timeout_error", NEW, "reachable"),
        (RARE, "connection_reset", NEW, "blocked"),
        (CORE, "generic_timeout_error", NEW, "blocked"),
    ],
)
def test_host(host: str, word: str, day: str, verdict: str) -> None:
    assert judge_document(measured(host, word, day))["verdict"] == verdict
