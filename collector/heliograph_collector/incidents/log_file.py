"""Alert log file: signed, hash-chained and append-only.

Lines are canonical JSON: sorted keys, no spaces, UTF-8. For the values written here (no floats
beyond three digits, no surrogates) this equals RFC 8785. Each line has the hash of the line before
and a signature, and its own hash covers both. An entry is on the disk before `append` returns. A
line that a crash left incomplete is moved to another file.
"""

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from heliograph.durable_file import MAX_LINE, cut_torn_line, read_lines, sync_folder
from heliograph.keys import ALERT, SigningKey
from heliograph.keys import verify as signed_by
from heliograph.timestamps import format_timestamp
from heliograph_collector.incidents.diff import Revision
from heliograph_collector.incidents.operator_entries import find_flaw
from heliograph_collector.incidents.published.incident import EvidenceRows, EvidenceWindow
from heliograph_collector.incidents.published.log import DetectorBody, EntryBody, OperatorBody
from heliograph_collector.incidents.record import incident_record
from heliograph_collector.incidents.sealed_basis import seal_basis
from heliograph_collector.incidents.state import (
    DETECTOR,
    EMPTY_HEAD,
    OPERATOR,
    IncidentBook,
    LogEntry,
)
from heliograph_collector.model.thresholds import DETECT_VERSION

FORMAT = 2  # since 2 the detector's rows and exact times are sealed (sealed_basis.py)
_FORMATS = (1, FORMAT)


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of verification: `entries` lines are valid, up to the hash `head`.

    `bad` is the number of the first bad entry, from 1. Only a comparison of `head` with one
    published elsewhere proves that no entry is missing at the end. `acts` entries are the
    operator's.
    """

    entries: int
    head: str
    bad: int | None = None
    why: str = ""
    acts: int = field(default=0, compare=False)


@dataclass(slots=True)
class Reproduction:
    """The comparison of a log's entries with what the detectors compute now."""

    agreed: int = 0
    differ: list[int] = field(default_factory=list)  # entry numbers
    uncovered: dict[str, int] = field(default_factory=dict)  # entries by reason

    def describe(self) -> Iterator[str]:
        yield f"Made again: {self.agreed} entries came out the same."
        if self.differ:
            yield f"Came out otherwise: {', '.join(str(number) for number in self.differ)}."
        for why, count in self.uncovered.items():
            yield f"Not made again: {count} {why}."


class BadLineError(Exception):
    """A line is invalid; str() gives the reason."""


def canonical_json(value: Mapping[str, object]) -> bytes:
    """Encode as canonical JSON. Raises ValueError on NaN and infinities."""
    json_text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return json_text.encode()


def build_line(number: int, previous_hash: str, body: EntryBody, key: SigningKey) -> bytes:
    """Build entry `number`, from 1, without a newline; what reproduces it is sealed."""
    if isinstance(body, DetectorBody):
        body = seal_basis(body, key)
    unsigned = {
        "format": FORMAT,
        "number": number,
        "before": previous_hash,
        "body": msgspec.to_builtins(body),
    }
    signature = base64.b64encode(key.sign(ALERT, canonical_json(unsigned))).decode()
    return canonical_json(unsigned | {"signature": signature})


def hash_of(entry: bytes) -> str:
    """Return the SHA-256 of a line without newline, in hex."""
    return hashlib.sha256(entry).hexdigest()


class ChainVerifier:
    """Verify lines of one log as they come; `public` is the collector's Ed25519 key."""

    def __init__(self, public: bytes) -> None:
        self._public = public
        self._hashes: list[bytes] = []
        self.acts = 0  # entries of the operator

    @property
    def count(self) -> int:
        return len(self._hashes)

    @property
    def head(self) -> str:
        """Return the hash of the last valid line."""
        return self._hashes[-1].hex() if self._hashes else EMPTY_HEAD

    def add(self, line: bytes) -> None:
        """Take up the next line. Raises BadLineError, and stays as it was."""
        body = _check_line(line, self.count + 1, self.head, self._public)
        self.acts += _is_valid_operator_entry(body, self._hashes)
        self._hashes.append(hashlib.sha256(line).digest())


def verify_lines(lines: Iterable[bytes], public: bytes, head: str = "") -> Proof:
    """Verify every line in order; stop at the first invalid one.

    Args:
        public: The collector's Ed25519 key (RFC 8032).
        head: The hash that the last line must have, if given.
    """
    chain = ChainVerifier(public)
    for line in lines:
        try:
            chain.add(line)
        except BadLineError as error:
            return Proof(chain.count, chain.head, chain.count + 1, str(error), chain.acts)
    if head and head != chain.head:
        why = "entries are missing at the end"
        return Proof(chain.count, chain.head, chain.count + 1, why, chain.acts)
    return Proof(chain.count, chain.head, acts=chain.acts)


def body_of(line: bytes) -> EntryBody:
    """Return the body of a verified line.

    Raises ValueError if this version cannot read it.
    """
    body = msgspec.json.decode(line, type=_SignedLine).body
    if msgspec.json.decode(body, type=_Authored).by == OPERATOR:
        return msgspec.json.decode(body, type=OperatorBody)
    return msgspec.json.decode(body, type=DetectorBody)


class _SignedLine(msgspec.Struct):
    body: msgspec.Raw


class _Authored(msgspec.Struct):
    by: str = DETECTOR


def _check_line(line: bytes, number: int, previous_hash: str, public: bytes) -> object:
    """Check a line against the line before; return its body. Raises BadLineError."""
    entry = _parse_line(line)
    signature = entry.pop("signature", "")
    if entry.get("format") not in _FORMATS:
        raise BadLineError("it is of a format that this version does not know")
    if entry.get("number") != number:
        raise BadLineError(f"it says it is entry {entry.get('number')}")
    if entry.get("before") != previous_hash:
        raise BadLineError("it does not follow the entry before it")
    if not signed_by(public, _decode_signature(signature), ALERT, canonical_json(entry)):
        raise BadLineError("its signature is not this collector's")
    return entry.get("body")


def _is_valid_operator_entry(raw_body: object, hashes: Sequence[bytes]) -> bool:
    """Return whether it is an operator's entry. Raises BadLineError on a bad one.

    An operator's entry must name an earlier entry by number and hash.
    """
    if not isinstance(raw_body, dict) or raw_body.get("by") != OPERATOR:
        return False
    try:
        body = msgspec.convert(raw_body, OperatorBody)
    except msgspec.ValidationError as error:
        is_about = "`about`" in str(error) or "$.about" in str(error)
        flaw = "does not say what it is about" if is_about else "lacks its text or name"
        raise BadLineError(f"it is the operator's, and {flaw}") from None
    error_text = find_flaw(body)
    if error_text:
        raise BadLineError(error_text)
    number = body.about.entry
    if not 0 < number <= len(hashes) or hashes[number - 1].hex() != body.about.hash:
        raise BadLineError("it is the operator's, and speaks of an entry that is not there")
    return True


def _parse_line(line: bytes) -> dict[str, object]:
    if len(line) > MAX_LINE:
        raise BadLineError("it is too long")
    try:
        entry = json.loads(line)
        is_canonical = isinstance(entry, dict) and canonical_json(entry) == line
    except (ValueError, RecursionError):
        raise BadLineError("it is no JSON") from None
    if not is_canonical:
        raise BadLineError("it is not in canonical form")
    return dict(entry)


def _decode_signature(encoded: object) -> bytes:
    try:
        return base64.b64decode(str(encoded), validate=True)
    except (binascii.Error, ValueError):
        return b""


LOG_FILE_NAME = "alerts.jsonl"


class AlertLogError(Exception):
    """The log cannot be continued; str() names the entry and the reason."""


@dataclass(frozen=True, slots=True)
class EntryBasis:
    """The inputs that reproduce an entry: journal positions, a window and versions."""

    first_row: int
    last_row: int
    since_us: int
    until_us: int
    versions: Mapping[str, str]  # code and data: heliograph, judge, services, state …
    late: Sequence[tuple[int, int]] = ()  # (row, time evaluated before the row was read)


def entry_body(revision: Revision, basis: EntryBasis, at_us: int) -> DetectorBody:
    """Build the body of a detector entry written at `at_us`."""
    return DetectorBody(
        at=format_timestamp(at_us),
        change=revision.change.value,
        alert=revision.alert,
        incident=incident_record(revision.incident),
        rows=EvidenceRows(
            first=basis.first_row,
            last=basis.last_row,
            late=tuple((row, format_timestamp(late_us)) for row, late_us in basis.late),
        ),
        window=EvidenceWindow(
            since=format_timestamp(basis.since_us), until=format_timestamp(basis.until_us)
        ),
        versions={"detect": str(DETECT_VERSION), **basis.versions},
    )


class EntryFence(Protocol):
    """Publishes entries before they are written, so that only one process can lead."""

    def publish(self, first: int, lines: Sequence[bytes]) -> None:
        """Publish entries from number `first` on. Raises AlertLogError, OSError."""
        ...


class AlertLog:
    """The only writer of the log. It verifies the chain on opening.

    Raises AlertLogError on an invalid log, OSError.
    """

    def __init__(self, file: Path, key: SigningKey, fence: EntryFence | None = None) -> None:
        self._file = file
        self._fence = fence
        self._key = key
        cut_torn_line(file)
        proof = verify_lines(read_lines(file), key.public)
        if proof.bad is not None:
            raise AlertLogError(f"Entry {proof.bad} of {file} is bad: {proof.why}.")
        self._proof = proof

    @property
    def proof(self) -> Proof:
        """Return the number of entries and the last hash, for publication."""
        return self._proof

    def append(self, bodies: Sequence[EntryBody]) -> Proof:
        """Append entries durably. Raises OSError.

        A crash may leave only the first of them.
        """
        self.write(bodies)
        return self._proof

    def write(self, bodies: Sequence[EntryBody]) -> list[bytes]:
        """Append entries durably; return their lines. Raises AlertLogError, OSError."""
        number = self._proof.entries
        previous_hash = self._proof.head
        lines = []
        for entry_content in bodies:
            number += 1
            entry = build_line(number, previous_hash, entry_content, self._key)
            if len(entry) > MAX_LINE:
                raise AlertLogError(f"Entry {number} would be longer than {MAX_LINE} bytes.")
            previous_hash = hash_of(entry)
            lines.append(entry)
        if self._fence is not None and lines:
            self._fence.publish(self._proof.entries + 1, lines)
        append_durably(self._file, b"".join(line + b"\n" for line in lines))
        self._proof = Proof(number, previous_hash)
        return lines


def read_book(file: Path) -> IncidentBook:
    """Read the incidents of a log without proving it, up to a line that is not whole.

    Another process may be writing its last line. Raises OSError.
    """
    book = IncidentBook()
    with suppress(msgspec.MsgspecError):
        for number, line in enumerate(read_lines(file), 1):
            book.append(LogEntry(number, hash_of(line), line, body_of(line)))
    return book


def append_durably(file: Path, content: bytes) -> None:
    """Append content; undo a partial write, so that the next entry starts a line."""
    is_new = not file.exists()
    with file.open("ab") as stream:
        size = stream.tell()
        try:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            os.ftruncate(stream.fileno(), size)
            raise
    if is_new:
        sync_folder(file.parent)
