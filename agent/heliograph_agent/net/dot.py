"""DNS over TLS (RFC 7858) over a connection of our own: one lookup, one step.

What fails on the way (a reset, a certificate) is the failure of the lookup.
"""

from collections.abc import Callable

from heliograph.address import literal
from heliograph_agent.net.barred import BarredError
from heliograph_agent.net.dns_exchange import ask_stream
from heliograph_agent.net.dns_message import Question, Reply
from heliograph_agent.net.resolve import System, address_of
from heliograph_agent.net.roots import Roots
from heliograph_agent.net.secure import Securing
from heliograph_agent.net.tcp import Count, open_wire


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
