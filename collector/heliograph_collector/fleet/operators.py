"""Console users in DATA/operators.json; `operator` changes it while `serve` runs.

The user `operator` always exists; its password is in the password file.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from heliograph.durable_file import replace_file
from heliograph_collector.fleet.passwords import hash_password

ROLES = ("viewer", "operator")  # each role includes the rights of the one before it
BUILT_IN_OPERATOR = "operator"
FILE_NAME = "operators.json"
MAX_PEOPLE = 200
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_MAX_FILE_BYTES = 262_144


class OperatorsError(Exception):
    """Error whose message states the problem and its remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Console user; `hash` is from `fleet.passwords`.

    `totp` is the base-32 secret of the second factor, or "".
    """

    name: str
    role: str
    hash: str
    totp: str = ""
    used_step: int = 0  # of the last TOTP code, so that no code counts twice
    since_s: int = 0

    @property
    def stamp(self) -> tuple[str, str, str]:
        """Return a value whose change must end the user's sessions."""
        return self.role, self.hash, self.totp


class Operators:
    """Console users, safe from any thread and across processes."""

    def __init__(self, data: Path, password: str = "") -> None:
        """Open the users; `password` is that of `operator`. Raises OperatorsError."""
        self._file = data / FILE_NAME
        hashed = hash_password(password) if password else ""
        self._built_in = Person(name=BUILT_IN_OPERATOR, role="operator", hash=hashed)
        self._cached_people: tuple[object, dict[str, Person]] = (None, {})
        self.read_people()

    def read_people(self) -> dict[str, Person]:
        """Return users by name, from the file if it changed. Raises OperatorsError."""
        try:
            file_status = self._file.stat()
        except FileNotFoundError:
            return {BUILT_IN_OPERATOR: self._built_in}
        file_version = (file_status.st_mtime_ns, file_status.st_size, file_status.st_ino)
        if self._cached_people[0] != file_version:
            self._cached_people = (file_version, self._parse_file())
        return self._cached_people[1]

    def check_can_add(self, name: str) -> None:
        """Check a new name before asking for a password. Raises OperatorsError."""
        if not _NAME.fullmatch(name):
            raise OperatorsError(
                f"{name[:64]!r} is no name: 1 to 32 of a-z, 0-9, dot, dash and underscore, "
                "a letter first"
            )
        people = self.read_people()
        if name in people:
            raise OperatorsError(f"{name} is there already; `operator passwd` changes it")
        if len(people) >= MAX_PEOPLE:
            raise OperatorsError(f"there are {MAX_PEOPLE} already: remove somebody first")

    def check_can_set(self, name: str) -> None:
        """Check that this user's password can be changed. Raises OperatorsError."""
        _check_not_built_in(name)
        _find_person(self.read_people(), name)

    def add(self, name: str, role: str, password_hash: str, now_s: int) -> None:
        """Add a user. Raises OperatorsError."""
        with self._edit_people() as people:
            self.check_can_add(name)
            people[name] = Person(name=name, role=role, hash=password_hash, since_s=now_s)

    def remove(self, name: str) -> None:
        """Remove a user. Raises OperatorsError."""
        with self._edit_people() as people:
            _check_not_built_in(name)
            _find_person(people, name)
            del people[name]

    def set_hash(self, name: str, password_hash: str) -> None:
        """Set a user's password hash. Raises OperatorsError."""
        with self._edit_people() as people:
            self.check_can_set(name)
            people[name] = replace(people[name], hash=password_hash)

    def set_totp(self, name: str, secret: str) -> None:
        """Set the second factor, or remove it if empty. Raises OperatorsError."""
        with self._edit_people() as people:
            people[name] = replace(_find_person(people, name), totp=secret, used_step=0)

    def use_step(self, name: str, step: int) -> bool:
        """Use up a TOTP step; return False if it or a later step was used."""
        with self._edit_people() as people:
            person = _find_person(people, name)
            if step <= person.used_step:
                return False
            people[name] = replace(person, used_step=step)
            return True

    def _parse_file(self) -> dict[str, Person]:
        try:
            with self._file.open("rb") as stream:
                document = json.loads(stream.read(_MAX_FILE_BYTES))
            people = {
                name: Person(name=name, **fields) for name, fields in document["people"].items()
            }
            if any(person.role not in ROLES for person in people.values()):
                raise ValueError("unknown role")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise OperatorsError(f"{self._file} is damaged: restore it from a backup") from error
        built_in = people.get(BUILT_IN_OPERATOR, self._built_in)
        return {
            BUILT_IN_OPERATOR: replace(
                self._built_in, totp=built_in.totp, used_step=built_in.used_step
            ),
            **{name: person for name, person in people.items() if name != BUILT_IN_OPERATOR},
        }

    @contextmanager
    def _edit_people(self) -> Iterator[dict[str, Person]]:
        """Yield the users under a lock, and write all or nothing when the block ends."""
        with self._file.with_suffix(".lock").open("a") as lock:
            os.fchmod(lock.fileno(), 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            people = dict(self.read_people())
            yield people
            records = {name: _build_record(person) for name, person in people.items()}
            document = json.dumps({"people": records}, indent=1)
            replace_file(self._file, document.encode())


def _build_record(person: Person) -> dict[str, object]:
    """Build a user's JSON; the hash of `operator` is left out."""
    record = asdict(person)
    del record["name"]
    return {**record, "hash": ""} if person.name == BUILT_IN_OPERATOR else record


def _find_person(people: dict[str, Person], name: str) -> Person:
    if name not in people:
        raise OperatorsError(f"nobody is called {name[:64]!r}; `operator list` shows who there is")
    return people[name]


def _check_not_built_in(name: str) -> None:
    if name == BUILT_IN_OPERATOR:
        raise OperatorsError(
            f"{BUILT_IN_OPERATOR} is always there, with the password of the password file: change "
            "that file and restart `serve`"
        )
