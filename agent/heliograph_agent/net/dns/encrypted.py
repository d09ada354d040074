"""DNS over HTTPS (RFC 8484), POST over a connection of our own: one lookup, one step.

The resolver's own name is looked up by the system; give an address in the URL to do without.
What fails on the way (a reset, a certificate) is the failure of the lookup.
"""

from collections.abc import Callable

from heliograph.address import https_host_port, literal
from heliograph.failure import Failure
from heliograph_agent.net.address_policy import BarredError
from heliograph_agent.net.dns.message import Question, Reply
from heliograph_agent.net.dns.system_resolver import System, address_of
from heliograph_agent.net.dns.transport import ask_stream
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.http1 import Exchange
from heliograph_agent.net.tcp import Count, open_wire
from heliograph_agent.net.tls.step import Securing
from heliograph_agent.net.tls.trust_store import Roots
from heliograph_agent.net.trace import Reader, Writer


async def ask_dot(
    question: Question,
    server: tuple[str, int],
    system: System,
    roots: Roots,
    now_s: int,
    count: Count,
    barred: Callable[[str], bool] = lambda _: False,
) -> Reply:
    """The certificate must be for the server as it is given: for its name, which the system looks
    up, or for its address, and then no name stands in the ClientHello.

    Raises OSError, EOFError or StepError; BarredError when it leads where none may go. The caller
    bounds the wait.
    """
    host, port = server
    address = literal(host) or await address_of(host, system, count)
    if barred(address):
        raise BarredError
    wire = await open_wire(address, port, count)
    try:
        securing = Securing(server_name=host, alpn=())
        reader = await securing.run(wire, roots, now_s)
        return await ask_stream(question, reader, securing.writer)
    finally:
        wire.transport.abort()


_MAX_REPLY = 65_535
_TYPE = "application/dns-message"
_HEADERS = {"Accept": _TYPE, "Content-Type": _TYPE}


async def ask_doh(
    question: Question,
    url: str,
    system: System,
    roots: Roots,
    now_s: int,
    count: Count,
    barred: Callable[[str], bool] = lambda _: False,
) -> Reply:
    """Raises OSError, EOFError or StepError; ValueError when `url` is no https URL, or leads where
    none may go. The caller bounds the wait."""
    host, port = https_host_port(url, "resolver")
    address = literal(host) or await address_of(host, system, count)
    if barred(address):
        raise BarredError
    wire = await open_wire(address, port, count)
    try:
        securing = Securing(server_name=host)
        reader = await securing.run(wire, roots, now_s)
        return await _exchange(question, url, reader, securing.writer)
    finally:
        wire.transport.abort()


async def _exchange(question: Question, url: str, reader: Reader, writer: Writer) -> Reply:
    exchange = Exchange(
        reader,
        writer,
        url,
        method="POST",
        headers=_HEADERS,
        content=question.with_id(0),
        keep=_MAX_REPLY,
    )
    await exchange.round_trip()
    await exchange.read_body(_MAX_REPLY)
    reply = question.reply(bytes(exchange.body)) if exchange.status == 200 else None
    if reply is None:
        raise StepError(Failure.DNS_SERVER_MISBEHAVING)
    return reply
