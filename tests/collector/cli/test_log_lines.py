"""Structured logs: each event is one line that a machine reads."""

import json
import logging

from heliograph_collector.cli.serve import JsonLines


def line(message: str, *args: object, error: BaseException | None = None) -> str:
    trace = (type(error), error, None) if error else None
    record = logging.LogRecord("heliograph.x", logging.WARNING, "f", 1, message, args, trace)
    record.created = 1_641_390_200.5
    return JsonLines().format(record)


def test_event_with_its_trace_is_one_line() -> None:
    text = line("The store is\n%d rows behind: «%s».", 7, "x", error=KeyError("x"))
    assert "\n" not in text
    assert json.loads(text) == {
        "time": "2022-01-05T13:43:20.500+00:00",
        "level": "warning",
        "logger": "heliograph.x",
        "message": "The store is\n7 rows behind: «x».",
        "error": "KeyError: 'x'",
    }
    assert "error" not in json.loads(line("well"))
