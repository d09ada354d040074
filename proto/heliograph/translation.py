"""Say sentences in the reader's language, by catalogues in gettext's PO format.

    use_language(choose_language(os.environ, find_languages(folder)), folder)
    print(_("Paused{until}.").format(until=""))

English is the text in the code and needs no catalogue. gettext itself reads only compiled
catalogues, which a plain checkout or a file copied to a phone does not have.
Source: https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html
"""

import ast
from collections.abc import Collection, Mapping
from pathlib import Path

ENGLISH = "en"
# gettext(3) asks these, the first that is set decides; LANGUAGE names several, best first.
VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})
DECIMAL_COMMA = frozenset({"kk", "ru"})  # CLDR 48, numbers in Latin digits
MAX_BYTES = 1_048_576  # of a catalogue; the longest has some 40,000

_RIGHT_TO_LEFT_MARK = "\u200f"  # invisible; Unicode Standard Annex #9, 2.6
_LEFT_TO_RIGHT_MARK = "\u200e"

_texts: dict[str, str] = {}
_marks: dict[str, str] = {}
_language = [ENGLISH]


class CatalogueError(ValueError):
    """Report a line that is not of this format; str() names file and line."""


def translate(text: str) -> str:
    """Return the text in the language in use; the English one where it has none."""
    return _texts.get(text, text)


def mark(text: str) -> str:
    """Return a text unchanged that is translated when it is printed."""
    return text


def begin_line() -> str:
    """Return the start of a line that may begin with a Latin name, "" left-to-right.

    A terminal takes the direction of a line from its first letter (Unicode Standard Annex #9, P2).
    """
    return _marks.get("line", "")


def direct_line(line: str) -> str:
    """Return a line in the language's direction, even if it begins with a Latin word."""
    return f"{begin_line()}{line}" if line.lstrip()[:1].isascii() else line


def end_word() -> str:
    """Return the end of a word within a left-to-right line, "" in such languages.

    A number that follows a Persian word would otherwise stand before it (Unicode Standard Annex
    #9, W2). At the start of a line it decides the line's direction.
    """
    return _marks.get("word", "")


def keep_order(text: str) -> str:
    """Return a date or an address whose parts keep their order right-to-left.

    After a Persian word they would otherwise run backwards, as 28-11-2026 (Unicode Standard Annex
    #9, W2 and W4).
    """
    return f"{_marks.get('word', '')}{text}"


def format_decimal(value: float, digits: int = 1) -> str:
    """Format a number with so many digits behind the mark that the language uses."""
    return decimal_mark(f"{value:.{digits}f}")


def decimal_mark(number: str) -> str:
    """Return a number with the mark that the language uses in place of a point."""
    return number.replace(".", _marks.get("decimal", "."))


def language_in_use() -> str:
    """Return the code of the language that sentences are in."""
    return _language[0]


def use_language(language: str, folder: Path) -> None:
    """Set the language of later texts; `folder` has ru.po and others. Raises OSError."""
    _texts.clear()
    _marks.clear()
    _language[0] = language
    if language in DECIMAL_COMMA:
        _marks["decimal"] = ","
    if language in RIGHT_TO_LEFT:
        _marks["line"] = _RIGHT_TO_LEFT_MARK
        _marks["word"] = _LEFT_TO_RIGHT_MARK
    if language != ENGLISH:
        with (folder / f"{language}.po").open("rb") as file:
            _texts.update(read_catalogue(file.read(MAX_BYTES).decode(), f"{language}.po"))


def find_languages(folder: Path) -> frozenset[str]:
    """Return the languages that have a catalogue, and English."""
    return frozenset({ENGLISH, *(file.stem for file in folder.glob("*.po"))})


def choose_language(environment: Mapping[str, str], languages: Collection[str]) -> str:
    """Choose among `languages` as gettext does; English where none of them is wanted.

    >>> choose_language({"LANG": "ru_KZ.UTF-8"}, {"en", "ru"})
    'ru'
    >>> choose_language({"LANGUAGE": "kk:ru", "LANG": "C"}, {"en", "ru"})
    'ru'
    """
    requested = next(filter(None, (environment.get(name) for name in VARIABLES)), "")
    for name in requested.split(":"):
        language = name.partition(".")[0].partition("@")[0].partition("_")[0].lower()
        if language in languages:
            return language
    return ENGLISH


def read_catalogue(content: str, name: str) -> dict[str, str]:
    """Read a catalogue, without untranslated texts. Raises CatalogueError."""
    entries: list[dict[str, str]] = [{}]
    field = ""
    for number, line in enumerate(map(str.strip, content.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        keyword, _, quoted = line.partition('"')
        keyword = keyword.strip()
        if keyword == "msgid":
            entries.append({})
        field = keyword or field
        if field not in ("msgid", "msgstr"):
            raise CatalogueError(f"{name}:{number}: neither msgid, msgstr nor a quoted text.")
        part = _unquote(f'"{quoted}', f"{name}:{number}")
        entries[-1][field] = entries[-1].get(field, "") + part
    return {e["msgid"]: e["msgstr"] for e in entries if e.get("msgid") and e.get("msgstr")}


def _unquote(quoted: str, location: str) -> str:
    """Read a C string, whose escapes are Python's too."""
    try:
        value = ast.literal_eval(quoted)
    except (SyntaxError, ValueError) as error:
        raise CatalogueError(f"{location}: no text between quotes.") from error
    return str(value)
