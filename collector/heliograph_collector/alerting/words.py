"""Fixed words of notifications, by language (`locale/`), in gettext's PO format.

Agents' words have the same format. The words of pages are in `http`, above this package. Times and
numbers stay as in the API, because a message is forwarded, and compared with the log.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from heliograph.translation import ENGLISH as DEFAULT
from heliograph.translation import read_catalogue
from heliograph_collector.config.receivers import LANGUAGES

__all__ = ["DEFAULT", "load_words", "translate"]

_ENGLISH = {
    "resumed": "Dark again: {sentence}",
    "relabeled": "Corrected: {sentence}",
    "operator": "The operator says: {text}",
    "entry": "Entry {number} of the log, {at}.",
    "incidents": "{n} incidents: {states}",
    "suspected": "{n} suspected",
    "confirmed": "{n} confirmed",
    "closed": "{n} closed",
    "withdrawn": "{n} withdrawn",
    "more": "… and {n} more.",
    "all": "All of them: {link}",
    "closing": "Heliograph tells from volunteers' machines whether the Internet around them works.",
    "log": "Every alert is an entry of a signed log that anybody can verify: {link}",
}


def translate(language: str, key: str, **values: object) -> str:
    return load_words()[language, key].format(**values)


@cache
def load_words() -> Mapping[tuple[str, str], str]:
    """Load the text of each language and key."""
    words = {(DEFAULT, key): text for key, text in _ENGLISH.items()}
    for language in LANGUAGES:
        if language != DEFAULT:
            name = f"{language}.po"
            content = files(__package__).joinpath("locale", name).read_text("utf-8")
            catalogue = read_catalogue(content, name)
            words |= {(language, key): catalogue[text] for key, text in _ENGLISH.items()}
    return words
