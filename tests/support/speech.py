"""A net speech for tests: it sends ping and expects pong and a sign."""

from dataclasses import dataclass

from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch


@dataclass(frozen=True)
class Ping:
    """A pong with "!" is loud, which is a difference."""

    name: str = "ping"

    def make_request(self) -> bytes:
        return b"ping"

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        if not b"pong".startswith(received[:4]):
            raise ProtocolMismatch("no pong")
        if len(received) < 5:
            return None
        return ProbeReply("pong", ("loud",) if received[4:] == b"!" else ())
