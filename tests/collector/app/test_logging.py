"""Structured logs: each event is one line that a machine reads."""

import json
import logging

from heliograph_collector.app import JsonLines


def line(message: str, *args: object, error: BaseException | None = None) -> str:
    trace = (type(error), error, None) if error else None
    record = logging.LogRecord("heliograph.x", logging.WARNING, "f", 1, message, args, trace)
    record.created = 1_641_390_200.5
    return JsonLines().format(record)


def test_an_event_is_one_line() -> None:
    text = line("The store is\n%d rows behind: «%s».", 7, "x")
    assert "\n" not in text
    assert json.loads(text) == {
        "time": "2022-01-05T13:43:20.500+00:00",
        "level": "warning",
        "logger": "heliograph.x",
        "message": "The store is\n7 rows behind: «x».",
    }


def test_a_bug_brings_its_trace_on_the_same_line() -> None:
    text = line("bug", error=KeyError("x"))
    assert "\n" not in text
    assert json.loads(text)["error"] == "KeyError: 'x'"
