"""Fixed words of notifications, by language (`words.tab`).

The words of pages are in `http`, above this package. Times and numbers stay as in the API, because
a message is forwarded, and compared with the log.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

DEFAULT = "en"


def translate(language: str, key: str, **values: object) -> str:
    return load_words()[language, key].format(**values)


@cache
def load_words() -> Mapping[tuple[str, str], str]:
    """Load the text of each language and key."""
    table = files(__package__).joinpath("words.tab").read_text("utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return {(language, key): text for language, key, text in rows}
