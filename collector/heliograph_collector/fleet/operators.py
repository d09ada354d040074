"""Console users; `operator` changes them while `serve` runs.

They are one document, in a file (`operator_file`) or on the servers of a cluster. The user
`operator` always exists; its password is in the password file.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from heliograph_collector.fleet.passwords import hash_password

ROLES = ("viewer", "operator")  # each role includes the rights of the one before it
BUILT_IN_OPERATOR = "operator"
MAX_PEOPLE = 200
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")


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


class OperatorDocument(Protocol):
    """Storage of the users; safe from any thread and across processes."""

    @property
    def name(self) -> str:
        """Return its name, for sentences."""
        ...

    def read(self) -> bytes | None:
        """Return the content, the same object until it changes; None if there is none.

        Raises OSError.
        """
        ...

    def change(self, edit: Callable[[bytes | None], bytes]) -> None:
        """Replace the content by what `edit` makes of the present one, all or nothing.

        `edit` is called again if another process was first. Raises its errors, OSError.
        """
        ...


class Operators:
    """Console users, as the document has them."""

    def __init__(self, document: OperatorDocument, password: str = "") -> None:
        """Open the users; `password` is that of `operator`. Raises OperatorsError."""
        self._document = document
        hashed = hash_password(password) if password else ""
        self._built_in = Person(name=BUILT_IN_OPERATOR, role="operator", hash=hashed)
        self._cached_people: tuple[bytes | None, dict[str, Person]] = (None, {})
        self.read_people()

    def read_people(self) -> dict[str, Person]:
        """Return users by name, parsed if the document changed. Raises OperatorsError."""
        try:
            content = self._document.read()
        except OSError as error:
            raise self._build_damage() from error
        if content is None:
            return self._parse(None)
        if self._cached_people[0] is not content:
            self._cached_people = (content, self._parse(content))
        return self._cached_people[1]

    def check_can_add(self, name: str) -> None:
        """Check a new name before asking for a password. Raises OperatorsError."""
        _check_can_add(self.read_people(), name)

    def check_can_set(self, name: str) -> None:
        """Check that this user's password can be changed. Raises OperatorsError."""
        _check_not_built_in(name)
        _find_person(self.read_people(), name)

    def add(self, name: str, role: str, password_hash: str, now_s: int) -> None:
        """Add a user. Raises OperatorsError, OSError; as the others."""

        def change(people: dict[str, Person]) -> None:
            _check_can_add(people, name)
            people[name] = Person(name=name, role=role, hash=password_hash, since_s=now_s)

        self._edit_people(change)

    def remove(self, name: str) -> None:
        def change(people: dict[str, Person]) -> None:
            _check_not_built_in(name)
            _find_person(people, name)
            del people[name]

        self._edit_people(change)

    def set_hash(self, name: str, password_hash: str) -> None:
        """Set a user's password hash."""

        def change(people: dict[str, Person]) -> None:
            _check_not_built_in(name)
            people[name] = replace(_find_person(people, name), hash=password_hash)

        self._edit_people(change)

    def set_totp(self, name: str, secret: str) -> None:
        """Set the second factor, or remove it if empty."""

        def change(people: dict[str, Person]) -> None:
            people[name] = replace(_find_person(people, name), totp=secret, used_step=0)

        self._edit_people(change)

    def use_step(self, name: str, step: int) -> bool:
        """Use up a TOTP step; return False if it or a later step was used."""

        def change(people: dict[str, Person]) -> None:
            person = _find_person(people, name)
            if step <= person.used_step:
                raise _UsedStepError
            people[name] = replace(person, used_step=step)

        try:
            self._edit_people(change)
        except _UsedStepError:
            return False
        return True

    def _edit_people(self, change: Callable[[dict[str, Person]], None]) -> None:
        def edit(content: bytes | None) -> bytes:
            people = dict(self._parse(content))
            change(people)
            records = {name: _build_record(person) for name, person in people.items()}
            return json.dumps({"people": records}, indent=1).encode()

        self._document.change(edit)

    def _parse(self, content: bytes | None) -> dict[str, Person]:
        if content is None:
            return {BUILT_IN_OPERATOR: self._built_in}
        try:
            document = json.loads(content)
            people = {
                name: Person(name=name, **fields) for name, fields in document["people"].items()
            }
            if any(person.role not in ROLES for person in people.values()):
                raise ValueError("unknown role")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._build_damage() from error
        built_in = people.get(BUILT_IN_OPERATOR, self._built_in)
        return {
            BUILT_IN_OPERATOR: replace(
                self._built_in, totp=built_in.totp, used_step=built_in.used_step
            ),
            **{name: person for name, person in people.items() if name != BUILT_IN_OPERATOR},
        }

    def _build_damage(self) -> OperatorsError:
        return OperatorsError(f"{self._document.name} is damaged: restore it from a backup")


class _UsedStepError(Exception):
    """This TOTP code, or a later one, was used."""


def _build_record(person: Person) -> dict[str, object]:
    """Build a user's JSON; the hash of `operator` is left out."""
    record = asdict(person)
    del record["name"]
    return {**record, "hash": ""} if person.name == BUILT_IN_OPERATOR else record


def _check_can_add(people: dict[str, Person], name: str) -> None:
    if not _NAME.fullmatch(name):
        raise OperatorsError(
            f"{name[:64]!r} is no name: 1 to 32 of a-z, 0-9, dot, dash and underscore, "
            "a letter first"
        )
    if name in people:
        raise OperatorsError(f"{name} is there already; `operator passwd` changes it")
    if len(people) >= MAX_PEOPLE:
        raise OperatorsError(f"there are {MAX_PEOPLE} already: remove somebody first")


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
