"""Regions by name: ISO 3166-2 codes in the languages of the pages."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_LANGS = ("en", "ru", "kk", "fa")


@cache
def _names() -> Mapping[str, tuple[str, ...]]:
    text = files(__package__).joinpath("regions.tab").read_text("utf-8")
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {code: tuple(names) for code, *names in lines}


def name(code: str, lang: str = "en") -> str:
    """ "Almaty" for KZ-75; in English where the language has none, and an unknown code as it is."""
    names = _names().get(code)
    if names is None:
        return code
    index = _LANGS.index(lang) if lang in _LANGS else 0
    return (names[index] if index < len(names) else "") or names[0]
