"""OONI's measurements in our words: observations, a control, and verdicts in OONI's value sets.

README.md tells what becomes of each test, and where the verdict differs from OONI's and why.
"""

from collections.abc import Callable, Mapping

from heliograph_collector.sources.ooni import messengers, other_tests, web
from heliograph_collector.sources.ooni.control import World
from heliograph_collector.sources.ooni.envelope import Imported, UnreadableError
from heliograph_collector.sources.ooni.files import Complaint, Document, documents
from heliograph_collector.sources.ooni.report import line, sentence
from heliograph_collector.sources.ooni.values import Json, text

__all__ = [
    "TESTS",
    "Complaint",
    "Document",
    "Imported",
    "UnreadableError",
    "World",
    "documents",
    "has_control",
    "line",
    "read",
    "sentence",
]

TESTS: Mapping[str, Callable[[Json], Imported]] = {
    "web_connectivity": web.read,
    "telegram": messengers.telegram,
    "whatsapp": messengers.whatsapp,
    "signal": messengers.signal,
    "facebook_messenger": messengers.facebook_messenger,
    "dnscheck": other_tests.dnscheck,
    "stunreachability": other_tests.stunreachability,
    "tor": other_tests.tor,
    "http_header_field_manipulation": other_tests.header_fields,
    "http_invalid_request_line": other_tests.request_lines,
}


def has_control(document: Json) -> bool:
    """Whether the measurement brings its own control, so that no other country's is asked for."""
    return document.get("test_name") == "web_connectivity"


def read(document: Json) -> Imported:
    """Raises UnreadableError, with the reason, and nothing else whatever the document holds."""
    name = text(document.get("test_name"), 64)
    if not name:
        raise UnreadableError("it has no test_name, so it is no measurement of OONI's")
    test = TESTS.get(name)
    if test is None:
        raise UnreadableError(f"the test {name[:40]!r} is not known here")
    try:
        return test(document)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(f"its test_keys make no sense ({type(error).__name__})") from error
