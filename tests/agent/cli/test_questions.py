"""The volunteer is asked again where an answer would count for no country."""

import io

import pytest

from heliograph_agent.cli.questions import ask_country


@pytest.mark.parametrize(
    ("answers", "country", "problems"),
    [
        ("kz\n", "KZ", []),
        ("\n", "", []),
        ("UK\ngb\n", "GB", ["No country has this code."]),
        ("Kazakhstan\nXX\nKZ\n", "KZ", ["That is not two letters.", "No country has this code."]),
        ("UK\nUK\nUK\nGB\n", "", ["No country has this code."] * 3),
    ],
)
def test_a_country_that_is_none_is_asked_for_again(
    answers: str,
    country: str,
    problems: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answers))
    assert ask_country() == country
    assert capsys.readouterr().err.splitlines() == problems
