"""Parse ECHConfigList, the keys of Encrypted ClientHello (RFC 9849 section 4)."""

import base64
import binascii
import re
from dataclasses import dataclass

from heliograph_agent.protocols.hpke import KDF_SHA256, KEM_X25519, find_aead

VERSION = 0xFE0D
MAX_LIST = 4_096
_MANDATORY = 0x8000  # a client that does not know such an extension must not use the config
_X25519 = 32
_PARAMETER = re.compile(r'(?:^|\s)ech="?([A-Za-z0-9+/=]+)"?(?:\s|$)')
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EchConfig:
    """Hold a key that this agent can seal to; `wire` is the published structure."""

    wire: bytes
    config_id: int
    public_key: bytes
    aead: int
    max_name: int
    public_name: str


def parse_config_list(encoded: str) -> EchConfig | None:
    """Return the first usable config of a list in base64. Raises ValueError."""
    try:
        return find_usable(base64.b64decode(encoded, validate=True))
    except binascii.Error as error:
        raise ValueError("no base64") from error


def find_ech_parameter(record: str) -> str:
    """Return the `ech` parameter of an HTTPS record in zone-file form (RFC 9460).

    "" when the record has none.
    """
    match = _PARAMETER.search(record)
    return match.group(1) if match else ""


def find_usable(wire: bytes) -> EchConfig | None:
    """Return the first usable config. Raises ValueError for an invalid list.

    None when every config has another version, KEM or cipher.
    """
    if len(wire) > MAX_LIST:
        raise ValueError("longer than any list is")
    outer = ByteParser(wire)
    configs = ByteParser(outer.take_block(2))
    outer.check_end()
    usable: EchConfig | None = None
    while configs.remaining:  # to the end, because a list that is invalid later is invalid
        version = configs.take_number(2)
        body = configs.take_block(2)
        config = _parse_config(body) if version == VERSION else None
        usable = usable or config
    return usable


def _parse_config(body: bytes) -> EchConfig | None:
    parser = ByteParser(body)
    config_id = parser.take_number(1)
    kem = parser.take_number(2)
    key = parser.take_block(2)
    aead = _select_aead(parser.take_block(2))
    max_name = parser.take_number(1)
    name = parser.take_block(1)
    extensions = ByteParser(parser.take_block(2))
    parser.check_end()
    has_mandatory = False
    while extensions.remaining:
        has_mandatory |= bool(extensions.take_number(2) & _MANDATORY)
        extensions.take_block(2)
    public_name = name.decode("ascii", "replace")
    is_supported = kem == KEM_X25519 and len(key) == _X25519 and not has_mandatory
    if not is_supported or aead is None or not _NAME.fullmatch(public_name):
        return None
    wire = VERSION.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body
    return EchConfig(wire, config_id, key, aead, max_name, public_name)


def _select_aead(suites: bytes) -> int | None:
    """Return the first supported cipher, mostly AES-128-GCM, which is mandatory."""
    parser = ByteParser(suites)
    selected: int | None = None
    while parser.remaining:
        kdf = parser.take_number(2)
        aead = parser.take_number(2)
        if selected is None and kdf == KDF_SHA256 and find_aead(aead) is not None:
            selected = aead
    return selected


class ByteParser:
    """Read numbers and length-prefixed blocks; raise ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def remaining(self) -> int:
        return len(self._data)

    def take_bytes(self, size: int) -> bytes:
        if size > len(self._data):
            raise ValueError("shorter than it says")
        chunk = self._data[:size]
        self._data = self._data[size:]
        return chunk

    def take_number(self, size: int) -> int:
        return int.from_bytes(self.take_bytes(size), "big")

    def take_block(self, prefix: int) -> bytes:
        return self.take_bytes(self.take_number(prefix))

    def check_end(self) -> None:
        if self._data:
            raise ValueError("longer than it says")
