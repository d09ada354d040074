"""What an experiment is: a name, its options, and one async function over the net."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_type_hints

from heliograph.plan import Service
from heliograph_agent.net import Net
from heliograph_agent.net.address import host_port, https_host_port

Wants = Literal["url", "host", "endpoint", "service", "none"]

_T = TypeVar("_T", bool, int, str)

_known_types: dict[type[Any], dict[str, Any]] = {}
_REMEMBERED = 256  # configs
MAX_TEXT = 253  # characters of an option


# What a text may have to be; each raises ValueError when it is not.
FORMS: Mapping[str, Callable[[str, str], tuple[str, int]]] = {
    "address:port": host_port,
    "https URL": https_host_port,
}


class CannotRun(Exception):  # noqa: N818 - it is no error of anyone, and the word of the design
    """Nothing could be asked of the network; the text is a sentence that says why and the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is tested: a URL, a host, an endpoint, or a service with its endpoints."""

    text: str
    service: Service | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One line of the registry."""

    name: str
    version: int
    title: str
    config: type[Any]
    run: Callable[[Target, Any, Net], Awaitable[None]]
    wants: Wants
    default_target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One key of an experiment's config, as users are told of it."""

    key: str
    type: str
    default: bool | int | str
    help: str
    allowed: str


def option(
    default: _T,
    says: str,
    *,
    low: int = 0,
    high: int = 0,
    words: Sequence[str] = (),
    form: str = "",
) -> _T:
    """A field of a Config: its default, what it does, and what else it may be.

    `low` and `high` bound a number, `words` are all the texts allowed, `form` is one of FORMS; a
    text with a form may also be empty.
    """
    metadata = {"help": says, "low": low, "high": high, "words": tuple(words), "form": form}
    made: Any = field(default=default, metadata=metadata)
    return made  # type: ignore[no-any-return] # dataclasses give a field the type of its default


def options_of(config: type[Any]) -> tuple[Option, ...]:
    """What `--option` takes for this config."""
    hints = _types(config)
    return tuple(
        Option(
            key=f.name,
            type=hints[f.name].__name__,
            default=f.default if f.default is not MISSING else "",
            help=f.metadata.get("help", ""),
            allowed=_allowed(f, hints[f.name]),
        )
        for f in fields(config)
    )


def parse_config(experiment: Experiment, options: Mapping[str, str]) -> Any:
    """The experiment's config with `options` set in it. Raises CannotRun on what it knows not."""
    return _parsed(experiment, tuple(options.items()))


@lru_cache(maxsize=_REMEMBERED)  # a plan asks for the same over and over
def _parsed(experiment: Experiment, options: tuple[tuple[str, str], ...]) -> Any:
    known = {f.name: f for f in fields(experiment.config)}
    hints = _types(experiment.config)
    for key, _ in options:
        if key not in known:
            allowed = ", ".join(known) or "none"
            raise CannotRun(f"{experiment.name} has no option {key!r}; its options are: {allowed}.")
    return experiment.config(**{key: _value(known[key], hints[key], text) for key, text in options})


def service_of(target: Target) -> Service:
    """The service that a test of endpoints is about. Raises CannotRun when there is none."""
    if target.service is None:
        raise CannotRun(f"{target.text!r} is no service that the list of services knows.")
    return target.service


def _types(config: type[Any]) -> dict[str, Any]:
    """To work them out costs as much as a probe nearby, so it is done once."""
    if config not in _known_types:
        _known_types[config] = get_type_hints(config)
    return _known_types[config]


def _value(f: "Field[Any]", kind: type, text: str) -> bool | int | str:
    value: bool | int | str = text
    if kind is bool:
        fits, value = text in ("true", "false"), text == "true"
    elif kind is int:
        fits = text.isascii() and text.isdigit() and len(text) < 10
        value = int(text) if fits else 0
        fits = fits and f.metadata["low"] <= value <= f.metadata["high"]
    else:
        fits = _text_fits(f, text)
    if not fits:
        raise CannotRun(f"{f.name} cannot be {text!r}; allowed: {_allowed(f, kind)}.")
    return value


def _text_fits(f: "Field[Any]", text: str) -> bool:
    words, form = f.metadata["words"], f.metadata["form"]
    if words:
        return text in words
    if len(text) > MAX_TEXT or not text.isprintable():
        return False
    try:
        return not (form and text) or bool(FORMS[form](text, f.name))
    except ValueError:
        return False


def _allowed(f: "Field[Any]", kind: type) -> str:
    if kind is bool:
        return "true, false"
    if kind is int:
        return f"{f.metadata['low']} to {f.metadata['high']}"
    words: tuple[str, ...] = f.metadata["words"]
    return ", ".join(word or '""' for word in words) or f.metadata["form"] or "text"
