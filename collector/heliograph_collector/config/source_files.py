"""The files that the sources of corroboration need: a token and prefixes."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from heliograph_collector.config.errors import CannotServeError

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


def _read_file(file: Path, max_chars: int, key: str) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            content = stream.read(max_chars + 1)
    except (OSError, UnicodeDecodeError) as error:
        kind = type(error).__name__  # the text of an error may quote the file
        raise CannotServeError(f"{file} cannot be read ({kind}): correct {key}.") from None
    if len(content) > max_chars:
        raise CannotServeError(f"{file} is longer than {max_chars} characters: correct {key}.")
    return content
