"""A speech for tests of the net: says ping, and hears pong and a sign."""

from dataclasses import dataclass

from heliograph_agent.net.probe_message import NotThisProtocol, Reply


@dataclass(frozen=True)
class Ping:
    """A pong with "!" is loud, which is a difference."""

    name: str = "ping"

    def opening(self) -> bytes:
        return b"ping"

    def heard(self, received: bytes) -> Reply | None:
        if not b"pong".startswith(received[:4]):
            raise NotThisProtocol("no pong")
        if len(received) < 5:
            return None
        return Reply("pong", ("loud",) if received[4:] == b"!" else ())
