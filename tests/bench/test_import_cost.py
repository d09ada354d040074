"""The cost of importing a document of OONI's, beside decoding its JSON.

Both run in one process. The decoding is the unit, because it grows with the document and with the
machine's speed alike.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph_collector.judge import judge
from heliograph_collector.sources.ooni.files import Text
from heliograph_collector.sources.ooni.judged_import import judge_batch
from heliograph_collector.sources.ooni.peers import PeerOutcomes
from support.ooni import DCS, RST, Json, connect, fetch, frame, no_rows, query, request, web

ROUNDS = 5
DOCUMENTS = 20


def whatsapp() -> Json:
    """Return a document with e1 to e16 at four shared addresses, on both ports.

    No row names its host, so that each host may claim those of all 16.
    """
    keys = no_rows()
    addresses = ("15.197.206.217", "3.33.221.48", "15.197.210.208", "3.33.252.61")
    for number in range(1, 17):
        keys["queries"] += query("system", f"e{number}.whatsapp.net", " ".join(addresses))
        ends = [f"{address}:{port}" for address in addresses for port in (443, 5222)]
        keys["tcp_connect"] += [connect(end, "ok") for end in ends]
    fetch(keys, "https://v.whatsapp.net/v2/register", "ok", "157.240.27.54")
    fetch(keys, "https://web.whatsapp.com/", f"tls {RST}", "157.240.27.55")
    return frame("whatsapp", keys)


def telegram() -> Json:
    keys = no_rows()
    for address in DCS:
        for port in (80, 443):
            keys["tcp_connect"].append(connect(f"{address}:{port}", "ok"))
            keys["requests"].append(request(f"http://{address}:{port}/", 501))
    fetch(keys, "https://web.telegram.org/", "ok")
    return frame("telegram", keys)


def page() -> Json:
    end = "93.184.216.34:443"
    body = {"status": 200, "title": "Example", "bytes": 30_000}
    here = [{"system": "93.184.216.34"}, {f"connect {end}": "ok"}, {f"tls {end}": "ok"}]
    control = {"dns": "93.184.216.34", "ends": {end: "ok ok"}, "page": body}
    url = "https://www.example.com/"
    return web({"url": url, "here": [*here, {f"get {end}": body}], "control": control})


def measure_cpu_s(work: Callable[[], object]) -> float:
    """Return the least CPU of some rounds: what other programs add is no cost of ours."""
    costs = []
    for _ in range(ROUNDS):
        started_s = time.process_time()
        work()
        costs.append(time.process_time() - started_s)
    return min(costs)


# Each limit is about twice the ratio measured; a page is cheap to import and long to decode.
@pytest.mark.parametrize(
    ("document", "limit"),
    [(whatsapp(), 160), (telegram(), 260), (page(), 110)],
    ids=["whatsapp", "telegram", "page"],
)
def test_import_costs_so_many_decodings(document: Json, limit: float) -> None:
    body = json.dumps(document).encode()
    batch = tuple(Text(Path("m.jsonl"), n, body) for n in range(1, DOCUMENTS + 1))
    peers = PeerOutcomes()
    ours_s = measure_cpu_s(lambda: judge_batch(judge, peers, batch))
    decoding_s = measure_cpu_s(lambda: [json.loads(body) for _ in batch])
    ratio = ours_s / decoding_s
    print(f"\n{len(body)} bytes: {1e3 * ours_s / DOCUMENTS:.2f} ms, {ratio:.0f} times its JSON")
    assert ratio < limit
