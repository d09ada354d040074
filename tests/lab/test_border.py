"""Experiments at home while the kernel interferes at the border: DNS forged, a port swallowed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from support.border import RESOLVER, WEB, Border, border
from support.probe_command import Command
from support.programs import eventually, started

pytestmark = pytest.mark.lab
NAME, NEUTRAL = "www.wikipedia.org", "www.example.com"
NOWHERE = "45.90.9.9"  # routed abroad, where nobody has it
FORGED = "10.10.34.35"
_PORT = 5399
_FORGER = f"""
import socket, dns.message, dns.rrset
box = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
box.bind(("127.0.0.1", {_PORT}))
while True:
    data, asker = box.recvfrom(4096)
    query = dns.message.from_wire(data)
    reply = dns.message.make_response(query)
    name = query.question[0].name.to_text()
    reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "{FORGED}"))
    box.sendto(reply.to_wire(), asker)
"""


def queries_for(name: str) -> str:
    """An nftables match of UDP queries whose name begins as this one does.

    The question begins 12 bytes into the message (RFC 1035 section 4.1), that 8 into the datagram.
    """
    labels = name.split(".")[:2]
    wire = b"".join(bytes((len(label),)) + label.encode() for label in labels)
    return f"udp dport 53 @th,160,{8 * len(wire)} 0x{wire.hex()}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    folder = tmp_path_factory.mktemp("border")
    with border(folder) as made:
        forger = made.home.command([sys.executable, "-c", _FORGER])
        with started(forger, folder / "forger.log"):
            eventually(lambda: f":{_PORT}" in made.home.run("ss", "-Hlun"), "the forger", 20)
            yield made


def forge(lab: Border, *matches: str) -> None:
    """Hand matching queries to the forger in the name of whoever was asked; none: to nobody."""
    rules = "\n".join(f"{match} redirect to :{_PORT}" for match in matches)
    lab.home.run(
        "nft", "-f", "-",
        text="table ip forged\ndelete table ip forged\ntable ip forged {\n"
        f"chain out {{ type nat hook output priority -100;\n{rules}\n}}\n}}\n",
    )  # fmt: skip


def probe(
    lab: Border, state: Path, experiment: str, target: str, **options: str
) -> list[dict[str, Any]]:
    settings = {"net.resolver": f"{RESOLVER}:53", "net.ca_file": str(lab.ca_file)} | options
    command = Command(state=state, options=settings, inside=lab.home.command([]))
    ran = command.run(experiment, target, "--json")
    assert ran.code == 0, ran.err
    return ran.observations


@pytest.mark.parametrize(
    ("matches", "forged"),
    [
        ((), set()),
        ((queries_for(NAME),), {"system", "udp", "nowhere"}),
        (
            ("udp dport 53",),
            {"system", "udp", "nowhere", "nowhere_neutral", "neutral"},
        ),
    ],
    ids=["nobody", "who forges one name", "who answers for everybody"],
)
def test_a_forger_at_the_border_is_told_by_where_he_answers(
    lab: Border, tmp_path: Path, matches: tuple[str, ...], forged: set[str]
) -> None:
    forge(lab, *matches)
    try:
        seen = probe(
            lab, tmp_path, "dns_integrity", NAME,
            resolver=f"{RESOLVER}:53", nowhere=f"{NOWHERE}:53", neutral=NEUTRAL,
            dot="", doh="", whoami="", linger_ms="50",
        )  # fmt: skip
    finally:
        forge(lab)
    answers = {o["endpoint"]: [a["data"] for a in o["dns"]["answers"]] for o in seen}
    assert {label for label, data in answers.items() if data == [FORGED]} == forged
    assert answers["tcp"] == [WEB], "he does not do TCP"
    silent = {o["endpoint"] for o in seen if o["failure"] == "generic_timeout_error"}
    assert silent == {"nowhere", "nowhere_neutral"} - forged


@pytest.mark.slow
def test_a_page_all_of_whose_packets_are_swallowed_is_done_with_in_time(
    lab: Border, tmp_path: Path
) -> None:
    """The runner gives it 120 s."""
    lab.interfere(f"ip daddr {WEB} tcp dport {{ 80, 443 }} drop")
    try:
        began = monotonic()
        seen = probe(lab, tmp_path, "web", f"http://{NAME}/", resolver=f"{RESOLVER}:53", doh="")
        took = monotonic() - began
    finally:
        lab.interfere()
    failures = {(o["tcp"]["port"], o["failure"]) for o in seen if o["tcp"]}
    assert failures == {(80, "generic_timeout_error"), (443, "generic_timeout_error")}
    assert took < 30


def test_a_page_in_clear_that_is_cut_is_still_asked_whose_address_it_has(
    lab: Border, tmp_path: Path
) -> None:
    lab.interfere(f"ip daddr {WEB} tcp dport 80 @ih,0,8 0x47 reject with tcp reset")
    try:
        seen = probe(lab, tmp_path, "web", f"http://{NAME}/", resolver=f"{RESOLVER}:53", doh="")
    finally:
        lab.interfere()
    steps = {(o["operation"], o["failure"]) for o in seen if o["operation"] != "resolve"}
    assert steps == {
        ("connect", None),
        ("http_round_trip", "connection_reset"),
        ("tls_handshake", None),
    }
