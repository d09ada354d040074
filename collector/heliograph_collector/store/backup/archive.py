"""Write and read a backup directory: files of mode 0600 and a manifest.

The manifest lists the size and the hash of every file.

    manifest.json      Manifest; encrypted as manifest.sealed, beside key.json
    store/TABLE.native a table of the store, in the engine's Native format
    data/…             files of the data directory

Format 1, of earlier versions, has no hashes, and its files lie at the top.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

import msgspec

from heliograph.durable_file import sync_folder
from heliograph_collector.store.backup import BackupError
from heliograph_collector.store.backup.encryption import (
    BackupKey,
    SealedKey,
    SealingStream,
    open_chunks,
)
from heliograph_collector.store.table_snapshot import TableSummary

FORMAT = 2
MANIFEST = "manifest.json"
SEALED_MANIFEST = "manifest.sealed"
KEY = "key.json"
PIECE_BYTES = 1_048_576
_MAX_MANIFEST_BYTES = 67_108_864  # ten years of daily files are some 4 MB

_T = TypeVar("_T")


class SavedFile(msgspec.Struct, frozen=True):
    """File of a backup; `sha256` is "" in format 1."""

    name: str
    bytes: int
    sha256: str
    modified_ns: int = 0  # the detectors look for their newest file by it


class Manifest(msgspec.Struct, frozen=True):
    version: str  # of Heliograph
    journal: str  # id
    position: int  # of the journal, which the tables hold completely
    last_position: int  # of the journal's copy
    tables: tuple[TableSummary, ...]
    files: tuple[SavedFile, ...]
    format: int = FORMAT


class _Format(msgspec.Struct):
    format: int = 0


class _Format1(msgspec.Struct):
    rows: dict[str, int]
    files: tuple[str, ...]


def open_private(path: Path) -> BinaryIO:
    """Create a file of mode 0600 and its folders of mode 0700. Raises OSError."""
    make_private_folder(path.parent)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(handle, "wb")


def make_private_folder(path: Path) -> None:
    """Create a folder and the missing ones above it, all of mode 0700. Raises OSError."""
    if not path.is_dir():
        make_private_folder(path.parent)
        path.mkdir(mode=0o700)


class _ArchiveFile:
    """Write one file of a backup: hash its content, and encrypt it if there is a key."""

    def __init__(self, stream: BinaryIO, key: BackupKey | None, name: str) -> None:
        self._stream = stream
        self._sealing = SealingStream(stream, key, name) if key else None
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> None:
        self.digest.update(piece)
        self.size += len(piece)
        if self._sealing:
            self._sealing.write(piece)
        else:
            self._stream.write(piece)

    def finish(self) -> None:
        if self._sealing:
            self._sealing.finish()
        self._stream.flush()
        os.fsync(self._stream.fileno())


class ArchiveWriter:
    """Writer of a backup's directory. Every call may raise OSError."""

    def __init__(self, directory: Path, key: tuple[BackupKey, SealedKey] | None) -> None:
        self.directory = directory
        self._key = key
        self.files: list[SavedFile] = []

    @contextmanager
    def create(self, name: str, modified_ns: int = 0) -> Iterator[_ArchiveFile]:
        """Create a file; it is in the manifest once the block ends without an error."""
        with open_private(self.directory / name) as stream:
            file = _ArchiveFile(stream, self._key[0] if self._key else None, name)
            yield file
            file.finish()
        self.files.append(SavedFile(name, file.size, file.digest.hexdigest(), modified_ns))

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and make all names durable."""
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        with self.create(SEALED_MANIFEST if self._key else MANIFEST) as file:
            file.write(content)
        if self._key:
            with open_private(self.directory / KEY) as stream:
                stream.write(msgspec.json.encode(self._key[1]))
                stream.flush()
                os.fsync(stream.fileno())
        for folder, _, _ in os.walk(self.directory):
            sync_folder(Path(folder))


class ArchiveReader:
    """Reader of a backup that came from anywhere: no name leads out of a directory."""

    def __init__(
        self, directory: Path, *, identity: Path | None = None, key: BackupKey | None = None
    ) -> None:
        """Read the manifest; an encrypted one needs the `identity` file or the key itself.

        Raises BackupError.
        """
        self.directory = directory
        self._key = key or _open_key(directory, identity)
        self.manifest = self._read_manifest()
        self._files = {file.name: file for file in self.manifest.files}

    def list_data_files(self) -> dict[str, SavedFile]:
        """List the saved files of the data directory by their path in it."""
        files = self._files.values()
        if self.manifest.format == 1:
            return {f.name: f for f in files if not f.name.endswith(".native")}
        prefix = "data/"
        return {f.name.removeprefix(prefix): f for f in files if f.name.startswith(prefix)}

    def read_table(self, table: str) -> Iterator[bytes]:
        """Read a table's file. Raises BackupError when it is damaged."""
        is_old = self.manifest.format == 1
        return self.read(f"{table}.native" if is_old else f"store/{table}.native")

    def read(self, name: str) -> Iterator[bytes]:
        """Read a file. Raises BackupError, at the end at the latest, when it is damaged."""
        saved = self._files.get(name)
        if saved is None:
            raise BackupError(f"{self.directory} lacks {name}: use another backup.")
        digest = hashlib.sha256()
        try:
            with (self.directory / name).open("rb") as stream:
                for piece in self._read_pieces(stream, name):
                    digest.update(piece)
                    yield piece
        except OSError as error:
            raise BackupError(
                f"{error.filename or name} cannot be read ({error.strerror}): use another backup."
            ) from error
        if saved.sha256 and digest.hexdigest() != saved.sha256:
            raise BackupError(f"{self.directory / name} is damaged: use another backup.")

    def _read_pieces(self, stream: BinaryIO, name: str) -> Iterator[bytes]:
        if self._key:
            yield from open_chunks(stream, self._key, name)
            return
        while piece := stream.read(PIECE_BYTES):
            yield piece

    def _read_manifest(self) -> Manifest:
        name = SEALED_MANIFEST if self._key else MANIFEST
        try:
            with (self.directory / name).open("rb") as stream:
                content = _join(self._read_pieces(stream, name))
        except OSError as error:
            raise BackupError(
                f"{self.directory} holds no whole snapshot: {name} is missing."
            ) from error
        format_ = _decode(content, _Format, self.directory).format
        if format_ == 1:
            return _describe_format_1(self.directory, _decode(content, _Format1, self.directory))
        if format_ != FORMAT:
            raise BackupError(
                f"{self.directory} was written by another Heliograph, in format {format_}: restore "
                "it with that version."
            )
        manifest = _decode(content, Manifest, self.directory)
        for file in manifest.files:
            _check_name(file.name, self.directory)
        return manifest


def _open_key(directory: Path, identity: Path | None) -> BackupKey | None:
    try:
        with (directory / KEY).open("rb") as stream:
            content = stream.read(PIECE_BYTES)
    except OSError:
        return None
    if identity is None:
        raise BackupError(f"{directory} is encrypted: name its private key with --identity FILE.")
    try:
        return BackupKey.open(_decode(content, SealedKey, directory), identity)
    except OSError as error:
        raise BackupError(f"{identity} cannot be read ({error.strerror}).") from error


def _decode(content: bytes, type_: type[_T], directory: Path) -> _T:
    try:
        return msgspec.json.decode(content, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BackupError(f"{directory} has a damaged manifest: use another backup.") from None


def _join(pieces: Iterable[bytes]) -> bytes:
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > _MAX_MANIFEST_BYTES:
            raise BackupError("The manifest is too large to be one of Heliograph.")
    return bytes(content)


def _check_name(name: str, directory: Path) -> None:
    parts = PurePosixPath(name).parts
    if parts[:1] not in (("store",), ("data",)) or len(parts) < 2 or {"..", "."} & {*parts}:
        raise BackupError(f"{directory} names a file outside of it: do not use this backup.")


def _describe_format_1(directory: Path, old: _Format1) -> Manifest:
    """Describe a backup of an earlier version, by the files that are there."""
    names = [f"{table}.native" for table in old.rows]
    for top in old.files:
        path = directory / Path(top).name
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        names += [str(p.relative_to(directory)) for p in inside]
    files = [
        SavedFile(name, 0, "", (directory / name).stat().st_mtime_ns)
        for name in names
        if (directory / name).is_file()
    ]
    tables = tuple(TableSummary(table, rows) for table, rows in old.rows.items())
    return Manifest("", "", 0, 0, tables, tuple(files), format=1)
