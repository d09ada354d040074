"""No address of an agent is in anything written, sent, logged or published.

The agent and the collector are real; the addresses are like no other bytes.
"""

import base64
import ipaddress
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from heliograph import envelope
from support.netns import Namespace, namespace
from support.programs import agent, ask, collector, eventually, operator_header, started

pytestmark = pytest.mark.lab
ABROAD, HOME = "45.90.77.1", "45.90.77.231"
ABROAD6, HOME6 = "2a0c:77ab:cd01:2::1", "2a0c:77ab:cd01:2:e7e7:4d3c:2b1a:f00d"
DOOR, PAGES, ASKED, NAMES = f"{ABROAD}:7443", f"{ABROAD}:8080", 8_000, f"{ABROAD}:53"
# Whatever is asked there tells everywhere who asked: in the head, title, text, a link, a frame.
WHO = f"""
import asyncio, dns.message, dns.rrset

async def page(reader, writer):
    who = writer.get_extra_info("peername")[0]
    await reader.readuntil(b"\\r\\n\\r\\n")
    body = (f"<html><title>Blocked for {{who}}</title><p>Your address {{who}} was noted.</p>"
            f"<iframe src='http://{{who}}/{{who}}?ip={{who}}'></iframe><img src='/ip/{{who}}.png'>"
            f"<form action='//portal.example/{{who}}/login?ip={{who}}'></form></html>")
    head = [f"HTTP/1.1 403 No {{who}}", f"Server: wall/{{who}}", f"X-Client-IP: {{who}}",
            f"Location: http://blocked.example/?from={{who}}", "Content-Type: text/html",
            f"Content-Length: {{len(body)}}", "Connection: close", "", body]
    writer.write("\\r\\n".join(head).encode())
    await writer.drain()
    writer.close()

class Names(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, who):
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        name, kind = query.question[0].name, query.question[0].rdtype
        if kind == 1:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", who[0]))
        self.transport.sendto(reply.to_wire(), who)

async def main():
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Names, local_addr=("{ABROAD}", 53))
    for host in ("{ABROAD}", "{ABROAD6}"):
        await asyncio.start_server(page, host, {ASKED})
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def wire() -> Iterator[tuple[Namespace, Namespace]]:
    with namespace() as abroad, namespace() as home:
        abroad.run("ip", "link", "add", "wire", "type", "veth",
                   "peer", "name", "wire", "netns", home.name)  # fmt: skip
        for space, four, six in ((abroad, ABROAD, ABROAD6), (home, HOME, HOME6)):
            space.run("ip", "address", "add", f"{four}/24", "dev", "wire")
            space.run("ip", "-6", "address", "add", f"{six}/64", "dev", "wire", "nodad")
            space.run("ip", "link", "set", "wire", "up")
        home.run("ip", "route", "add", "default", "via", ABROAD)
        yield abroad, home


def forms(address: str) -> dict[str, bytes]:
    """Return the forms that an address may have in a file.

    The short binary form has a separate name, since four bytes also come by chance in compressed
    data.
    """
    parsed = ipaddress.ip_address(address)
    found = {
        "text": address,
        "long": parsed.exploded,
        "number": str(int(parsed)),
        "hex": parsed.packed.hex(),
        "reverse": parsed.reverse_pointer,
        "mapped": f"::ffff:{address}",
        "base64": base64.b64encode(parsed.packed).decode().rstrip("="),
    }
    return {name: text.encode() for name, text in found.items()} | {"packed": parsed.packed}


def leaks(data: bytes, *, exact: bool) -> list[str]:
    """Return where own addresses are in `data`; `exact` includes four packed bytes."""
    low = data.lower()
    found = []
    for address in (HOME, HOME6):
        for name, form in forms(address).items():
            packed = name == "packed"
            if packed and len(form) < 16 and not exact:
                continue
            if (form in data) if packed or name == "base64" else (form.lower() in low):
                found.append(f"{name} of {address}")
    return found


def test_the_search_itself_would_find_them() -> None:
    packed = ipaddress.ip_address(HOME).packed
    assert leaks(f"x {HOME6.upper()} y".encode(), exact=False)
    assert leaks(b"ab" + packed + b"cd", exact=True) == [f"packed of {HOME}"]
    assert not leaks(f"{ABROAD} {ABROAD6}".encode(), exact=True)


def test_no_byte_of_either_side_holds_an_address_of_the_volunteer(
    wire: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    abroad, home = wire
    data, state = tmp_path / "data", tmp_path / "agent"
    _settings(tmp_path)
    places = ("--data", data, "--config", tmp_path / "collector.yml")
    ask(collector("plan", "set", tmp_path / "plan.yml", *places))
    serve = collector("serve", *places, "--grpc", DOOR, "--http", PAGES)
    mine = ("--state", state, "--config", tmp_path / "agent.yml")
    with (
        started(abroad.command([sys.executable, "-c", WHO]), tmp_path / "who.log"),
        started(abroad.command(serve), tmp_path / "serve.log"),
    ):
        eventually(lambda: "ready" in (tmp_path / "who.log").read_text(), "who is asked", 20)
        eventually(lambda: _page(abroad, data, "/readyz"), "the collector")
        invite = ask(collector("invite", *places, "--endpoint", DOOR)).strip()
        said = ask(home.command(agent("join", invite, "--yes", *mine)))
        said += ask(home.command(agent("run", "--once", *mine)))
        eventually(lambda: _measured(abroad, data) >= 3, "results in the store")
        told = [
            _page(abroad, data, path)
            for path in ("/", "/api/v1/status", "/api/v1/measurements?limit=500", "/metrics")
        ]
        said += ask(home.command(agent("status", "--json", *mine)))
    batches = _opened(data / "journal.db")
    assert told[2].count("Blocked for ") >= 2, "both families were shown their address"
    assert "who-am-i.example" in told[2]
    assert any(b"//portal.example/" in plain for plain in batches), "no reference was reported"
    for number, plain in enumerate((*batches, *map(str.encode, told), said.encode())):
        assert leaks(plain, exact=True) == [], f"plain {number}"
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    print(f"{len(files)} files, {sum(f.stat().st_size for f in files)} bytes searched")
    for file in files:
        if file.name in ("agent.yml", "collector.yml", "plan.yml", "services.yml", "who.log"):
            continue
        assert leaks(file.read_bytes(), exact=file.suffix in (".json", ".log", ".pb")) == [], file


def _settings(folder: Path) -> None:
    (folder / "services.yml").write_text(
        'version: "who.1"\nservices:\n  anchors:\n    title: Anchors\n'
        "    experiment: connectivity\n    endpoints:\n"
        f'      - {{id: foreign-a, kind: tcp, host: "{ABROAD}", port: {ASKED}, group: foreign}}\n'
    )
    settings = {
        "control": {"endpoints": []},
        "feed": {"k_anonymity": 1},
        "plan": {"services_file": "services.yml"},
    }
    (folder / "collector.yml").write_text(yaml.safe_dump(settings))
    tasks = [
        {"experiment": "connectivity", "service": "anchors", "interval_s": 60},
        {"experiment": "web", "target": f"http://{ABROAD}:{ASKED}/", "interval_s": 60},
        {"experiment": "web", "target": f"http://[{ABROAD6}]:{ASKED}/", "interval_s": 60},
        {"experiment": "dns", "target": "who-am-i.example", "interval_s": 60},
        {"experiment": "tcp", "target": "who-am-i.example:9", "interval_s": 60},
    ]
    plan = {"limits": {"target_pause_s": 1, "concurrency": 4}, "tasks": tasks}
    (folder / "plan.yml").write_text(yaml.safe_dump(plan))
    net = {"local_targets": "allow", "resolver": NAMES}
    (folder / "agent.yml").write_text(yaml.safe_dump({"net": net}))


def _page(abroad: Namespace, data: Path, path: str) -> str:
    try:
        header = operator_header(data)
        return abroad.run("curl", "--silent", "--fail", "--header", header, f"http://{PAGES}{path}")
    except (OSError, RuntimeError):
        return ""


def _measured(abroad: Namespace, data: Path) -> int:
    page = _page(abroad, data, "/api/v1/measurements?limit=500")
    return len(json.loads(page)["measurements"]) if page else 0


def _opened(journal: Path) -> list[bytes]:
    """Return every hello, and every envelope opened and decompressed."""
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT kind, body FROM log").fetchall()
    db.close()
    return [
        envelope.decompress_batch(body).SerializeToString() if kind == "envelope" else bytes(body)
        for kind, body in rows
    ]
