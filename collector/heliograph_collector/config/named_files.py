"""Read files that the configuration names: secrets, keys, a token, and prefixes."""

import base64
import binascii
import ipaddress
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.receivers import HIDDEN_ADDRESSES, Receiver, ReceiverKind

if TYPE_CHECKING:
    from heliograph_collector.config.settings import Config

MAX_SECRET_CHARS = 4_096
KEY_PREFIX = "whsec_"
# bytes of a secret, as Standard Webhooks requires
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64


def read_secret(receiver: Receiver) -> str:
    """Read the secret file of a receiver; "" without one.

    Raises CannotServeError, whose text never contains the secret.
    """
    if receiver.secret_file is None:
        return ""
    source = f"{receiver.secret_file} (secret_file of the alerts to {receiver.name})"
    try:
        with receiver.secret_file.open(encoding="utf-8") as stream:
            content = stream.read(MAX_SECRET_CHARS + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = _describe_reading(error)
        raise CannotServeError(
            f"{source} cannot be read ({reason}): name a file that this user may read."
        ) from None
    if (
        not content
        or len(content) > MAX_SECRET_CHARS
        or not content.isascii()
        or not content.isprintable()
    ):
        raise CannotServeError(f"{source} must hold one secret and nothing else.")
    if receiver.kind is ReceiverKind.WEBHOOK:
        try:
            decode_secret(content)
        except ValueError as error:
            raise CannotServeError(f"{source} {error}.") from None
    if (
        receiver.kind in HIDDEN_ADDRESSES
        and not content.startswith("https://")
        and not receiver.private
    ):
        raise CannotServeError(f"{source} must hold an address that begins with https://.")
    return content


def decode_secret(encoded: str) -> bytes:
    """Decode `whsec_` and base64.

    Raises ValueError with the correction and without the secret.
    """
    try:
        secret = base64.b64decode(encoded.strip().removeprefix(KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    is_prefixed = encoded.strip().startswith(KEY_PREFIX)
    if not is_prefixed or not MIN_KEY_BYTES <= len(secret) <= MAX_KEY_BYTES:
        raise ValueError(
            f"must hold {KEY_PREFIX} and {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes in base64"
        )
    return secret


def generate_secret() -> str:
    """Generate a secret for signed webhooks, in the format of Standard Webhooks."""
    return KEY_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_named_files(config: "Config") -> None:
    """Read all named files once, before agents may connect.

    A start that fails by one of them later would have taken agents' sessions, and cut them.
    Raises CannotServeError.
    """
    for receiver in config.alerts:
        read_secret(receiver)
    read_partners(config.partners_file)
    if "radar" in config.corroborate:
        read_token(config.radar_token_file)
    if config.prefixes_file is not None:
        read_prefixes(config.prefixes_file)


_MAX_TOKEN_CHARS = 1_024
_MAX_FILE_CHARS = 1_048_576
_MAX_ASN = (1 << 32) - 1


def read_token(file: Path | None) -> str:
    """Read the token of Cloudflare Radar. Raises CannotServeError."""
    if file is None:
        raise CannotServeError(
            "corroborate.sources names radar, which wants a token: "
            "name its file in corroborate.radar_token_file."
        )
    token = _read_file(file, _MAX_TOKEN_CHARS, "corroborate.radar_token_file").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CannotServeError(f"{file} must hold one API token and nothing else.")
    return token


def read_partners(file: Path | None) -> dict[str, str]:
    """Read the owner of each partner's key, by the key's SHA-256 in hex.

    Raises CannotServeError, whose text quotes no line: it may hold a key by mistake.
    """
    partners: dict[str, str] = {}
    content = "" if file is None else _read_file(file, _MAX_FILE_CHARS, "feed.partners_file")
    for number, line in enumerate(content.splitlines(), 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        if fields[2:] == ["-"]:  # as `sha256sum` prints it
            fields.pop()
        if len(fields) != 2 or not re.fullmatch("[0-9a-f]{64}", fields[1]):
            raise CannotServeError(
                f"{file}, line {number}: must be NAME SHA256, the latter of the partner's key: "
                "`printf %s KEY | sha256sum`."
            )
        partners[fields[1]] = fields[0]
    return partners


def read_prefixes(file: Path) -> dict[str, int]:
    """Read the AS number of each prefix. Raises CannotServeError."""
    return dict(_iter_prefixes(file))


def _iter_prefixes(file: Path) -> Iterator[tuple[str, int]]:
    content = _read_file(file, _MAX_FILE_CHARS, "corroborate.prefixes_file")
    for number, line in enumerate(content.splitlines(), 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        try:
            asn, prefix = fields
            yield str(ipaddress.ip_network(prefix)), _parse_asn(asn)
        except ValueError:
            raise CannotServeError(
                f"{file}, line {number}: must be ASN PREFIX, for example 9198 2.72.0.0/13."
            ) from None


def _parse_asn(value: str) -> int:
    """Parse an AS number. Raises ValueError."""
    digits = value.upper().removeprefix("AS")
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:11]) <= _MAX_ASN):
        raise ValueError(value)
    return int(digits)


def _describe_reading(error: OSError | UnicodeDecodeError) -> str:
    """Describe why a file cannot be read; the text of an error may quote the file."""
    return str(error.strerror) if isinstance(error, OSError) else "it is no text in UTF-8"


def _read_file(file: Path, max_chars: int, key: str) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            content = stream.read(max_chars + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = _describe_reading(error)
        raise CannotServeError(f"{file} cannot be read ({reason}): correct {key}.") from None
    if len(content) > max_chars:
        raise CannotServeError(f"{file} is longer than {max_chars} characters: correct {key}.")
    return content
