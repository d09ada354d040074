"""A STUN binding (RFC 8489): the smallest question that can be put to a server over UDP.

The answer says which address the question came from. That is the volunteer's own: it is looked at
only for being there, and forgotten.
"""

from dataclasses import dataclass

from heliograph_agent.net.probe_message import NotThisProtocol, Reply

CHANCE = 12  # bytes of chance that a speech takes: the transaction id
SUCCESS = "binding_success"
_COOKIE = bytes.fromhex("2112a442")
_REQUEST, _SUCCESS, _ERROR = 0x0001, 0x0101, 0x0111  # section 5
_ERROR_CODE = 0x0009  # section 14.8
_MAPPED = (0x0001, 0x0020)  # MAPPED-ADDRESS, XOR-MAPPED-ADDRESS
_HEADER = 20


@dataclass(frozen=True, slots=True)
class Binding:
    """`binding_success`, or `binding_error_` and the code (300 to 699)."""

    transaction: bytes
    name: str = "stun"

    def opening(self) -> bytes:
        return _REQUEST.to_bytes(2) + bytes(2) + _COOKIE + self.transaction

    def heard(self, received: bytes) -> Reply | None:
        """Raises NotThisProtocol when it answers no question of ours."""
        if len(received) < _HEADER:
            return None
        kind, length = int.from_bytes(received[:2]), int.from_bytes(received[2:4])
        ours = received[4:8] == _COOKIE and received[8:_HEADER] == self.transaction
        if kind not in (_SUCCESS, _ERROR) or not ours or length % 4:
            raise NotThisProtocol("no answer to our binding request")
        if len(received) < _HEADER + length:
            return None
        attributes = _attributes(received[_HEADER : _HEADER + length])
        if kind == _ERROR:
            return Reply(f"binding_error_{_code(attributes.get(_ERROR_CODE, b''))}")
        if not any(kind in attributes for kind in _MAPPED):
            raise NotThisProtocol("a success that names no address")
        return Reply(SUCCESS)


def _attributes(text: bytes) -> dict[int, bytes]:
    """By type, the first of each (section 14). Raises NotThisProtocol."""
    found: dict[int, bytes] = {}
    while text:
        kind, length = int.from_bytes(text[:2]), int.from_bytes(text[2:4])
        if len(text) < 4 + length:
            raise NotThisProtocol("an attribute that is longer than its message")
        found.setdefault(kind, text[4 : 4 + length])
        text = text[4 + length + -length % 4 :]
    return found


def _code(value: bytes) -> int:
    if len(value) < 4 or not (3 <= value[2] & 7 <= 6 and value[3] < 100):
        raise NotThisProtocol("an error without a code")
    return (value[2] & 7) * 100 + value[3]
