"""Build measurements in OONI's format (probe 0.5 or 0.4) from a few words.

A hop is a list of steps, `operation argument: outcome`:
`system`, `udp`, `doh` (addresses or a failure), `connect END`, `tls END`, `get END` (a failure, a
status or facts of a page), where END is an address and a port.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from heliograph_collector.judge import judge
from heliograph_collector.sources.ooni import (
    ImportedMeasurement,
    ImportRow,
    format_row,
    parse_measurement,
    read_measurement,
)

Json = dict[str, Any]

RST, REFUSED = "connection_reset", "connection_refused"
TIMEOUT, STOP = "generic_timeout_error", "interrupted"
DCS = ("149.154.175.50", "149.154.167.51", "149.154.175.100", "149.154.167.91")
ENGINES = {"system": "getaddrinfo", "udp": "udp", "doh": "doh"}
RESOLVERS = {"system": "", "udp": "1.1.1.1:53", "doh": "https://dns.google/dns-query"}
WORDS = (
    "connection dns generic ssl eof interrupted host network http_ android unknown timed "
    "response tcp_ task"
)


def import_document(document: Json) -> ImportedMeasurement:
    return read_measurement(parse_measurement(document))


def judge_document(document: Json) -> ImportRow:
    """Return the row that `import ooni` makes of a measurement."""
    seen = import_document(document)
    return format_row(seen, judge(seen.record, seen.control))


def frame(test_name: str, keys: object, **more: object) -> Json:
    """Return the base format, version 0.2.0."""
    return {
        "annotations": {"network_type": "wifi"},
        "data_format_version": "0.2.0",
        "input": None,
        "measurement_start_time": "2024-02-12 20:33:47",
        "probe_asn": "AS137",
        "probe_cc": "IT",
        "probe_ip": "127.0.0.1",
        "report_id": "20240212T203347Z_webconnectivity_IT_137_n1_x",
        "software_name": "ooniprobe",
        "software_version": "3.21.0",
        "test_keys": keys,
        "test_name": test_name,
        "test_runtime": 1.5,
        "test_start_time": "2024-02-12 20:33:40",
        "test_version": "0.5.28",
        **more,
    }


def web(row: Mapping[str, Any], version: str = "0.5") -> Json:
    """Build one row of the catalogue; version 0.4 has the system's resolver alone."""
    hops = [row["here"], *(row[k] for k in sorted(row, key=_number) if k.startswith("redirect-"))]
    keys = no_rows()
    url = row["url"]
    for depth, hop in enumerate(hops):
        url = _hop(keys, hop, url, depth, version)
    if version == "0.4":
        _as_old(keys, len(hops))
    keys |= _helper(row)
    keys |= row.get("keys", {})
    # What OONI concluded must not matter: a verdict read from here would be wrong.
    keys |= {"blocking": "not to be read", "accessible": "not to be read"}
    base = {"test_version": f"{version}.3", "input": row["url"], **row.get("base", {})}
    return frame("web_connectivity", keys, **base)


def _number(key: str) -> int:
    return int(key.removeprefix("redirect-")) if key.startswith("redirect-") else 0


def _hop(keys: Json, hop: Sequence[Mapping[str, Any]], url: str, depth: int, version: str) -> str:
    """Add a hop's rows; return the URL of the next hop."""
    ends: dict[str, int] = {}
    following = url
    for item in hop:
        ((word, outcome),) = item.items()
        operation, _, argument = word.partition(" ")
        tags = [f"depth={depth}"]
        if operation in ENGINES:
            if version == "0.5" or operation == "system":
                keys["queries"] += query(operation, _host(url), outcome, argument, tags)
            continue
        number = ends.setdefault(argument, 1000 * (depth + 1) + len(ends))
        shared = {"t0": 0.1, "t": 0.2, "tags": tags, "transaction_id": number}
        if operation == "connect":
            keys["tcp_connect"].append(connect(argument, outcome) | shared)
        elif operation == "tls":
            keys["tls_handshakes"].append(handshake(argument, outcome, _host(url)) | shared)
        else:
            keys["requests"].append(request(url, outcome, argument) | shared)
            location = outcome.get("location") if isinstance(outcome, Mapping) else None
            following = location or following
    return following


def query(
    engine: str, host: str, outcome: object, kind: str = "", tags: Sequence[str] = ()
) -> list[Json]:
    facts: Mapping[str, Any] = outcome if isinstance(outcome, Mapping) else {"answers": outcome}
    answers = facts["answers"]
    failed = is_failure(answers)
    return [
        {
            "engine": ENGINES[engine],
            "hostname": host,
            "query_type": kind or ("ANY" if engine == "system" else "A"),
            "failure": answers if failed else None,
            "answers": None if failed else [_answer(a, facts.get("asn")) for a in _split(answers)],
            "resolver_address": RESOLVERS[engine],
            "t0": 0.0,
            "t": 0.05,
            "tags": list(tags),
            "transaction_id": {"system": 1, "udp": 2, "doh": 3}[engine],
        }
    ]


def _answer(address: str, asn: int | None) -> Json:
    record, field = ("AAAA", "ipv6") if ":" in address else ("A", "ipv4")
    return {"answer_type": record, field: address, "ttl": None} | ({"asn": asn} if asn else {})


def connect(end: str, outcome: object) -> Json:
    address, _, port = end.rpartition(":")
    failure = None if outcome == "ok" else outcome
    status = {"success": failure is None, "failure": failure}
    return {"ip": address.strip("[]"), "port": int(port), "status": status}


def handshake(end: str, outcome: object, host: str) -> Json:
    return {
        "address": end,
        "failure": None if outcome == "ok" else outcome,
        "server_name": host,
        "no_tls_verify": False,
        "peer_certificates": None,
        "tls_version": "TLSv1.3" if outcome == "ok" else "",
        "negotiated_protocol": "",
        "cipher_suite": "",
        "network": "tcp",
    }


def request(url: str, outcome: object, end: str = "") -> Json:
    facts = outcome if isinstance(outcome, Mapping) else {}
    failure = outcome if is_failure(outcome) else facts.get("failure")
    status = outcome if isinstance(outcome, int) else facts.get("status", 0)
    headers = dict(facts.get("headers", {}))
    if "location" in facts:
        headers["Location"] = facts["location"]
    return {
        "address": end,
        "network": "tcp",
        "failure": failure,
        "request": {"method": "GET", "url": url, "headers": {}, "body": ""},
        "response": {
            "code": status,
            "body": body(facts),
            "body_is_truncated": facts.get("truncated", False),
            "headers": headers,
            "headers_list": [[name, value] for name, value in headers.items()],
        },
    }


def body(facts: Mapping[str, Any]) -> str:
    """Return HTML with this title and text, filled to so many bytes."""
    start = f"<html><title>{facts['title']}</title>" if "title" in facts else ""
    start += f"<body>{facts['text']}" if "text" in facts else ""
    return start + "." * max(0, int(facts.get("bytes", 0)) - len(start))


def _as_old(keys: Json, hops: int) -> None:
    """Reshape rows for 0.4: no tags, no numbers, connections of the first page only."""
    for name in ("queries", "tcp_connect", "tls_handshakes"):
        keys[name] = [r for r in keys[name] if r["tags"] == ["depth=0"]]
    first = urlsplit(keys["requests"][0]["request"]["url"]).scheme if keys["requests"] else ""
    if first == "http":  # only 0.5 tries the other port beside
        keys["tcp_connect"] = [r for r in keys["tcp_connect"] if r["port"] != 443]
        keys["tls_handshakes"] = []
    known = {a.get("ipv4") or a.get("ipv6") for q in keys["queries"] for a in q["answers"] or ()}
    if known:
        keys["tcp_connect"] = [r for r in keys["tcp_connect"] if r["ip"] in known]
    for row in (r for rows in keys.values() for r in rows):
        del row["tags"], row["transaction_id"]
    for row in keys["requests"]:
        del row["address"], row["network"]
    keys["requests"] = keys["requests"][::-1]


def _helper(row: Mapping[str, Any]) -> Json:
    control = row.get("control")
    if not isinstance(control, Mapping):
        return {"control": None, "control_failure": control or "connection_reset"}
    page = control.get("page", "unknown_error")
    failed = is_failure(page)
    facts = page if isinstance(page, Mapping) else {}
    return {
        "control_failure": None,
        "control": {
            "dns": _helper_dns(control.get("dns", "")),
            "tcp_connect": {end: _state(pair.split()[0]) for end, pair in _ends(control)},
            "tls_handshake": {
                end: {"server_name": _host(row["url"]), **_state(pair.split()[1])}
                for end, pair in _ends(control)
                if " " in pair
            },
            "http_request": {
                "body_length": -1 if failed else facts.get("bytes", 0),
                "failure": page if failed else None,
                "title": facts.get("title", ""),
                "headers": dict(facts.get("headers", {})),
                "status_code": -1 if failed else facts.get("status", page),
            },
        },
    }


def _helper_dns(outcome: object) -> Json:
    failed = is_failure(outcome)
    return {"failure": outcome if failed else None, "addrs": [] if failed else _split(outcome)}


def _ends(control: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((end, str(pair)) for end, pair in control.get("ends", {}).items())


def _state(outcome: str) -> Json:
    return {"status": outcome == "ok", "failure": None if outcome == "ok" else outcome}


def is_failure(outcome: object) -> bool:
    return isinstance(outcome, str) and outcome.startswith(tuple(WORDS.split()))


def _split(outcome: object) -> list[str]:
    return str(outcome).split()


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def no_rows() -> Json:
    return {"queries": [], "tcp_connect": [], "tls_handshakes": [], "requests": []}


def fetch(keys: Json, url: str, outcome: object, address: str = "149.154.167.99") -> None:
    """Add one HTTPS fetch; `outcome` is `ok` or a failure like `tls connection_reset`."""
    host = url.split("/")[2]
    step, _, word = str(outcome).partition(" ")
    end = f"{address}:443"
    keys["queries"] += query("system", host, word if step == "dns" else address)
    if step == "dns":
        keys["requests"].append(request(url, word))
        return
    keys["tcp_connect"].append(connect(end, word if step == "tcp" else "ok"))
    if step != "tcp":
        keys["tls_handshakes"].append(handshake(end, word if step == "tls" else "ok", host))
    keys["requests"].append(request(url, 200 if step == "ok" else word, end))
