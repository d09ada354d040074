"""The first packet of an OpenVPN session and the server's answer to it.

Source: OpenVPN's documentation of its wire protocol (openvpn-rfc, sections on P_CONTROL packets).
A server with tls-auth or tls-crypt stays silent: it answers only those who have its key.
"""

from dataclasses import dataclass

from heliograph_agent.net.probe_message import NotThisProtocol, Reply

CHANCE = 8  # bytes of chance that a speech takes: the session id
ANSWERED = "hard_reset_server"
_CLIENT, _SERVER = 7 << 3, 8 << 3  # P_CONTROL_HARD_RESET_*_V2 with key id 0
_SESSION = 8


@dataclass(frozen=True, slots=True)
class HardReset:
    """`hard_reset_server`; over TCP (`framed`) each packet has its length in front."""

    session: bytes
    framed: bool = False
    name: str = "openvpn"

    def opening(self) -> bytes:
        packet = bytes((_CLIENT,)) + self.session + bytes(1) + bytes(4)
        return len(packet).to_bytes(2) + packet if self.framed else packet

    def heard(self, received: bytes) -> Reply | None:
        """Raises NotThisProtocol when it is no answer to our packet."""
        if not self.framed:
            return self._answer(received)
        length, packet = int.from_bytes(received[:2]), received[2:]
        if not packet:
            return None
        if not length or packet[0] != _SERVER:
            raise NotThisProtocol("no packet of OpenVPN's")
        return self._answer(packet[:length]) if length <= len(packet) else None

    def _answer(self, packet: bytes) -> Reply:
        """Type, their session, how many of our packets are acknowledged, which, our session."""
        at = 1 + _SESSION
        count = packet[at] if len(packet) > at else 0
        ours = packet[at + 1 + 4 * count :][:_SESSION]
        if packet[:1] != bytes((_SERVER,)) or (count and ours != self.session) or len(packet) < 14:
            raise NotThisProtocol("no answer to our reset")
        return Reply(ANSWERED)
