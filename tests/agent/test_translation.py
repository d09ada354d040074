"""Each catalogue has every text that is marked for translation, and no more."""

import ast
import os
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import heliograph_agent
from heliograph import traffic_estimate
from heliograph.plan import PlannedTask
from heliograph.translation import (
    CatalogueError,
    choose_language,
    find_languages,
    format_decimal,
    read_catalogue,
    use_language,
)
from heliograph_agent.cli import LOCALE
from heliograph_agent.cli.results import format_results
from heliograph_agent.consent.country import NAMES, name_country
from heliograph_agent.consent.terms import format_terms
from support.findings import told
from support.scripted_intake import plan_of

(AGENT,) = map(Path, heliograph_agent.__path__)
SHARED = (Path(traffic_estimate.__file__),)  # what the agent says and the collector as well
NO_WORDS = {"web, dns, tls, telegram …"}  # names of experiments
SENTENCE = re.compile(r"[A-Za-z]{2,},? [a-z]{2,}")
ENGLISH_MODULES = {"experiments"}  # as agent/README.md says
NO_SENTENCE = re.compile(
    r"<|\{|^(ECH|GREASE) hello$|heliograph-agent |^ by proxy$|has no port"
)  # HTML, CSS, commands
PERCENT = re.compile(r"%[sd]")
DIGITS = re.compile(r"[\u0660-\u0669\u06f0-\u06f9]")  # Arabic and Persian
PLAN = plan_of(PlannedTask(experiment="web", target="https://news.example/", interval_s=90))
LANGUAGES = sorted(find_languages(LOCALE) - {"en"})


def marked_texts() -> Iterator[str]:
    for file in (*AGENT.rglob("*.py"), *SHARED):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield from map(str, find_call_texts(node))


def find_call_texts(call: ast.Call) -> Iterator[object]:
    name = ast.unparse(call.func)
    if name in ("_", "mark"):
        yield from find_texts(call.args[0])
    if name.endswith(("add_parser", "add_argument", "ArgumentParser")):
        for keyword in call.keywords:
            if keyword.arg in ("help", "description"):
                yield from set(find_texts(keyword.value)) - NO_WORDS


def find_texts(argument: ast.expr) -> list[object]:
    """Return the text of a constant; a name's value was marked where it was written."""
    return [argument.value] if isinstance(argument, ast.Constant) else []


def fields(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def unmarked_sentences(file: Path) -> Iterator[str]:
    """Yield what looks like a sentence and has no way into a catalogue."""
    tree = ast.parse(file.read_text())
    known: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # a docstring
            known.add(id(node.value))
        if isinstance(node, ast.Call) and (
            ast.unparse(node.func) in ("_", "mark")
            or ast.unparse(node.func).endswith(("add_parser", "add_argument", "ArgumentParser"))
        ):
            known |= {id(each) for each in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in known:
            continue
        text = str(node.value)
        if SENTENCE.search(text) and not NO_SENTENCE.search(text):
            yield text


def test_no_sentence_of_a_command_is_left_in_english() -> None:
    files = [file for file in (AGENT / "cli").rglob("*.py") if file.stem not in ENGLISH_MODULES]
    assert [(file.name, text) for file in files for text in unmarked_sentences(file)] == []


def test_languages_of_the_pages_are_here() -> None:
    assert LANGUAGES == ["fa", "kk", "ru"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_is_complete_and_keeps_every_place(language: str) -> None:
    catalogue = read_catalogue((LOCALE / f"{language}.po").read_text(), language)
    assert set(catalogue) == set(marked_texts())
    for english, translation in catalogue.items():
        assert fields(translation) == fields(english), translation
        assert PERCENT.findall(translation) == PERCENT.findall(english), "arguments of a log line"
        assert DIGITS.findall(translation) == [], "one kind of digits, as in addresses and times"
        assert all(command in translation for command in english.split("`")[1::2]), translation
        assert english.endswith(" ") == translation.endswith(" "), translation


@pytest.fixture
def persian() -> Iterator[None]:
    use_language("fa", LOCALE)
    yield
    use_language("en", LOCALE)


@pytest.mark.usefixtures("persian")
def test_terms_are_said_in_persian() -> None:
    terms = format_terms(PLAN, "collector.example:7443", "KZ")
    assert "قزاقستان" in terms
    assert "چه کسی آن را می‌بیند" in terms
    assert "collector.example:7443" in terms
    latin = [line for line in terms.splitlines() if line.isascii() and line.strip()]
    assert not latin, "all that is no name is translated"
    assert "·" not in terms, "no mark of the catalogue is taken for one that hides terms"


@pytest.mark.usefixtures("persian")
def test_a_date_runs_from_left_to_right_in_a_persian_line() -> None:
    """UAX #9, W2: after a Persian word its parts would stand in the other order."""
    place, telegram, *_ = format_results(told(telegram="blocked"))
    assert place.endswith("\u200e2022-01-05 22:00 UTC:")
    assert "\u200e2022-01-05 21:35 UTC؛" in telegram


@pytest.mark.parametrize(("language", "number"), [("en", "1.5"), ("ru", "1,5"), ("fa", "1.5")])
def test_a_number_has_the_mark_of_the_language(language: str, number: str) -> None:
    use_language(language, LOCALE)
    try:
        assert format_decimal(1.5) == number
    finally:
        use_language("en", LOCALE)


def test_every_country_has_a_name_in_each_language() -> None:
    """Each in its own script, and of every country whose risk is known."""
    folder = AGENT / "consent"
    head, *rows = (folder / NAMES).read_text("utf-8").splitlines()
    assert head.split("\t") == ["code", "en", *LANGUAGES]
    names = {code: written for code, *written in (row.split("\t") for row in rows)}
    for _, persian, *cyrillic in names.values():
        assert re.search("[\u0600-\u06ff]", persian)
        assert all(re.search("[\u0400-\u04ff]", name) for name in cyrillic)
    tiers = yaml.safe_load((folder / "risks.yml").read_text())["tiers"].values()
    assert {country for tier in tiers for country in tier} <= names.keys()
    assert name_country("QQ") == "QQ", "of no list"


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "fa:ru"}, "fa"),
        ({"LANG": "de_DE@euro"}, "en"),
        ({"LC_MESSAGES": "kk_KZ"}, "kk"),
        ({"LANG": "../../etc"}, "en"),
    ],
)
def test_language_is_the_systems(environment: dict[str, str], language: str) -> None:
    assert choose_language(environment, find_languages(LOCALE)) == language


def test_commands_speak_it(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "heliograph_agent", "status", "--state", str(tmp_path / "none")],
        capture_output=True, text=True, check=False, encoding="utf-8",
        env={**os.environ, "LANGUAGE": "ru", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert result.returncode == 1
    assert "ещё не присоединён" in result.stderr


@pytest.mark.parametrize("line", ["msgid x", 'msgid "a', 'msgctxt "menu"', '"before anything"'])
def test_damaged_catalogue_names_its_line(line: str) -> None:
    with pytest.raises(CatalogueError, match=r"ru\.po:2"):
        read_catalogue(f"# a comment\n{line}\n", "ru.po")


def test_texts_go_over_several_lines() -> None:
    content = 'msgid ""\nmsgstr ""\n"Language: ru\\n"\n\nmsgid "a "\n"b"\nmsgstr "в"\n"д\\n"\n'
    assert read_catalogue(content, "ru.po") == {"a b": "вд\n"}
