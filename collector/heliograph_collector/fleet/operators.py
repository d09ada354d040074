"""Who may come into the console: DATA/operators.json, which `operator` changes while `serve` runs.

The person `operator` is always there: its password is the one of the password file.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile

from heliograph_collector.fleet.passwords import hash_password

ROLES = ("viewer", "operator")  # each may do what the one before it may
FIRST = "operator"
FILE = "operators.json"
MAX_PEOPLE = 200
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_MAX_FILE = 262_144


class OperatorsError(Exception):
    """A sentence with its cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`hash` is of `fleet.passwords`; `totp` is the second factor's secret in base 32, or ""."""

    name: str
    role: str
    hash: str
    totp: str = ""
    used_step: int = 0  # of the second factor's last code: no code counts twice
    since_s: int = 0

    @property
    def stamp(self) -> tuple[str, str, str]:
        """Differs after anything that must end this person's sessions."""
        return self.role, self.hash, self.totp


class Operators:
    """Safe from any thread and beside any other process."""

    def __init__(self, data: Path, password: str = "") -> None:
        """With `password`, that of `operator`. Raises OperatorsError."""
        self._file = data / FILE
        hashed = hash_password(password) if password else ""
        self._first = Person(name=FIRST, role="operator", hash=hashed)
        self._read: tuple[object, dict[str, Person]] = (None, {})
        self.people()

    def people(self) -> dict[str, Person]:
        """By name; read again when the file changed. Raises OperatorsError."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return {FIRST: self._first}
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._read[0] != mark:
            self._read = (mark, self._parse())
        return self._read[1]

    def may_add(self, name: str) -> None:
        """Before a password is asked for. Raises OperatorsError."""
        if not _NAME.fullmatch(name):
            raise OperatorsError(
                f"{name[:64]!r} is no name: 1 to 32 of a-z, 0-9, dot, dash and underscore, "
                "a letter first"
            )
        people = self.people()
        if name in people:
            raise OperatorsError(f"{name} is there already; `operator passwd` changes it")
        if len(people) >= MAX_PEOPLE:
            raise OperatorsError(f"there are {MAX_PEOPLE} already: remove somebody first")

    def may_set(self, name: str) -> None:
        """The same for another password. Raises OperatorsError."""
        _not_first(name)
        _known(self.people(), name)

    def add(self, name: str, role: str, password_hash: str, now_s: int) -> None:
        """Raises OperatorsError."""
        with self._changed() as people:
            self.may_add(name)
            people[name] = Person(name=name, role=role, hash=password_hash, since_s=now_s)

    def remove(self, name: str) -> None:
        """Raises OperatorsError."""
        with self._changed() as people:
            _not_first(name)
            _known(people, name)
            del people[name]

    def set_hash(self, name: str, password_hash: str) -> None:
        """Raises OperatorsError."""
        with self._changed() as people:
            self.may_set(name)
            people[name] = replace(people[name], hash=password_hash)

    def set_totp(self, name: str, secret: str) -> None:
        """An empty one takes the second factor away. Raises OperatorsError."""
        with self._changed() as people:
            people[name] = replace(_known(people, name), totp=secret, used_step=0)

    def use_step(self, name: str, step: int) -> bool:
        """Whether the code of that step was not used before, nor one of a later step."""
        with self._changed() as people:
            person = _known(people, name)
            if step <= person.used_step:
                return False
            people[name] = replace(person, used_step=step)
            return True

    def _parse(self) -> dict[str, Person]:
        try:
            with self._file.open("rb") as stream:
                found = json.loads(stream.read(_MAX_FILE))
            people = {name: Person(name=name, **one) for name, one in found["people"].items()}
            if any(person.role not in ROLES for person in people.values()):
                raise ValueError("unknown role")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise OperatorsError(f"{self._file} is damaged: restore it from a backup") from error
        kept = people.get(FIRST, self._first)
        return {
            FIRST: replace(self._first, totp=kept.totp, used_step=kept.used_step),
            **{name: person for name, person in people.items() if name != FIRST},
        }

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Person]]:
        """The people as they stand now; written whole, or not at all, when the block ends well."""
        with self._file.with_suffix(".lock").open("a") as lock:
            os.fchmod(lock.fileno(), 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            people = dict(self.people())
            yield people
            whole = {name: _kept(person) for name, person in people.items()}
            text = json.dumps({"people": whole}, indent=1)
            with NamedTemporaryFile(
                "w", dir=self._file.parent, prefix=".operators-", delete=False
            ) as new:
                new.write(text)
                new.flush()
                os.fsync(new.fileno())
            Path(new.name).replace(self._file)  # NamedTemporaryFile makes it 0600


def _kept(person: Person) -> dict[str, object]:
    """The first one's hash stays out: its password is the password file's."""
    kept = asdict(person)
    del kept["name"]
    return {**kept, "hash": ""} if person.name == FIRST else kept


def _known(people: dict[str, Person], name: str) -> Person:
    if name not in people:
        raise OperatorsError(f"nobody is called {name[:64]!r}; `operator list` shows who there is")
    return people[name]


def _not_first(name: str) -> None:
    if name == FIRST:
        raise OperatorsError(
            f"{FIRST} is always there, with the password of the password file: change that file "
            "and restart `serve`"
        )
