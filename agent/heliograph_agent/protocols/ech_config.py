"""ECHConfigList: the keys a server publishes for Encrypted ClientHello (RFC 9849 section 4)."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph_agent.protocols.hpke import KDF_SHA256, KEM_X25519, aead_of

VERSION = 0xFE0D
MAX_LIST = 4_096
_MANDATORY = 0x8000  # an extension of this kind makes a config unusable to who knows it not
_X25519 = 32
_PARAMETER = re.compile(r'(?:^|\s)ech="?([A-Za-z0-9+/=]+)"?(?:\s|$)')
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EchConfig:
    """A key that this agent can seal to; `wire` is the whole structure, as it was published."""

    wire: bytes
    config_id: int
    public_key: bytes
    aead: int
    max_name: int
    public_name: str


def config_in(text: str) -> EchConfig | None:
    """The first usable config of a list in base64. Raises ValueError when it is no such list."""
    try:
        return first_usable(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise ValueError("no base64") from error


def parameter_of(record: str) -> str:
    """The `ech` parameter of an HTTPS record in zone-file form (RFC 9460), "" when it has none."""
    found = _PARAMETER.search(record)
    return found.group(1) if found else ""


def first_usable(wire: bytes) -> EchConfig | None:
    """None when every config is of another version, KEM or cipher. Raises ValueError."""
    if len(wire) > MAX_LIST:
        raise ValueError("longer than any list is")
    whole = Cut(wire)
    configs = Cut(whole.block(2))
    whole.end()
    usable: list[EchConfig] = []
    while configs.left:
        version, body = configs.number(2), configs.block(2)
        if version == VERSION and (config := _config(body)) is not None:
            usable.append(config)
    return usable[0] if usable else None


def _config(body: bytes) -> EchConfig | None:
    cut = Cut(body)
    config_id, kem, key = cut.number(1), cut.number(2), cut.block(2)
    aead = _aead(cut.block(2))
    max_name, name, extensions = cut.number(1), cut.block(1), Cut(cut.block(2))
    cut.end()
    mandatory = False
    while extensions.left:
        mandatory |= bool(extensions.number(2) & _MANDATORY)
        extensions.block(2)
    public_name = name.decode("ascii", "replace")
    fits = kem == KEM_X25519 and len(key) == _X25519 and not mandatory
    if not fits or aead is None or not _NAME.fullmatch(public_name):
        return None
    wire = VERSION.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body
    return EchConfig(wire, config_id, key, aead, max_name, public_name)


def _aead(suites: bytes) -> int | None:
    """The first cipher we speak; AES-128-GCM, which all must have, is mostly the only one."""
    cut, found = Cut(suites), []
    while cut.left:
        kdf, aead = cut.number(2), cut.number(2)
        if kdf == KDF_SHA256 and aead_of(aead) is not None:
            found.append(aead)
    return found[0] if found else None


class Cut:
    """Cuts numbers and length-prefixed blocks off the front. Each raises ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def left(self) -> int:
        return len(self._data)

    def take(self, size: int) -> bytes:
        if size > len(self._data):
            raise ValueError("shorter than it says")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def block(self, prefix: int) -> bytes:
        return self.take(self.number(prefix))

    def end(self) -> None:
        if self._data:
            raise ValueError("longer than it says")


def listed(configs: Sequence[bytes]) -> bytes:
    """An ECHConfigList of these structures."""
    joined = b"".join(configs)
    return len(joined).to_bytes(2, "big") + joined
