"""Four languages have the same sentences, each by its grammar."""

# ruff: noqa: RUF001 -- other scripts are what is tested

import gettext
import re
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter

import pytest
from babel import Locale as CldrLocale
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from markupsafe import Markup

from heliograph_collector.http import i18n
from heliograph_collector.http.i18n import LANGS, PLURAL_FORMS, Locale, load_catalogue, translate
from heliograph_collector.incidents.incident import HoldReason

PACKAGE = Path(i18n.__file__).parent
MOMENT = datetime(2022, 1, 5, 13, 5, 9, tzinfo=UTC)


def places(entry: i18n.Entry) -> set[str]:
    """Names of the values in a text, or in its plural forms together."""
    texts = [entry] if isinstance(entry, str) else list(entry.values())
    return {name for text in texts for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("lang", [lang for lang in LANGS if lang != "en"])
def test_each_catalogue_has_every_entry_with_the_same_places(lang: str) -> None:
    english, own = load_catalogue("en"), load_catalogue(lang)
    assert set(own) ^ set(english) == set()
    differ = {key for key, entry in own.items() if places(entry) != places(english[key])}
    assert not differ
    kinds = {
        key for key, entry in own.items() if isinstance(entry, str) != isinstance(english[key], str)
    }
    assert not kinds


def test_each_reason_against_an_incident_has_a_label() -> None:
    """Each reason against an incident has a label.

    Without one a page shows the bare code, as "elsewhere" up to detector 108.
    """
    labels = {key for key in load_catalogue("en") if key.startswith("held.")}
    assert labels == {f"held.{reason}" for reason in HoldReason}


@pytest.mark.parametrize("lang", LANGS)
def test_each_plural_has_the_forms_its_language_needs(lang: str) -> None:
    wrong = {
        k: set(e)
        for k, e in load_catalogue(lang).items()
        if not isinstance(e, str) and tuple(e) != PLURAL_FORMS[lang]
    }
    assert not wrong
    assert not [k for k, e in load_catalogue(lang).items() if isinstance(e, str) and not e.strip()]


@pytest.mark.parametrize("lang", [lang for lang in LANGS if lang != "en"])
def test_each_catalogue_translates_the_english_of_today(lang: str) -> None:
    template = read_catalogue("heliograph.pot")
    own = read_catalogue(f"{lang}/LC_MESSAGES/heliograph.po")
    stale = [m.context for m in own if m.id and template.get(m.id, m.context) is None]
    assert not stale, "pybabel update, then translate them again"
    assert not [m.context for m in own if m.fuzzy]
    choose_form = gettext.c2py(own.plural_expr)  # as msgfmt and translators' tools read it
    for n in range(300):
        form = str(CldrLocale(lang).plural_form(n))
        assert PLURAL_FORMS[lang][choose_form(n)] == form, (
            "Plural-Forms and CLDR number a form alike"
        )


def read_catalogue(path: str) -> Catalog:
    with (PACKAGE / "locale" / path).open("rb") as file:
        return read_po(file, abort_invalid=True)


def test_whatever_a_page_says_is_in_the_catalogues() -> None:
    """Every key of a page is in the catalogues.

    Keys stand in templates and code: `t("front.title")`, `translate(lang, "…")`.
    """
    called = re.compile(
        r"""(?:\bt|\.mark|translate\(lang,|translate_html\(lang,)\(?\s*["']([a-z_0-9]+\.[a-z_0-9.]+)["']"""
    )
    found = {
        key: file.name
        for file in PACKAGE.rglob("*")
        if file.suffix in (".py", ".html")
        for key in called.findall(file.read_text("utf-8"))
    }
    assert len(found) > 100
    whole = {key: where for key, where in found.items() if key[-1] not in "_."}
    assert not {key: where for key, where in whole.items() if key not in load_catalogue("en")}


def test_numbers_days_and_lists_are_written_as_the_language_does() -> None:
    assert [i18n.format_number(lang, 12_345.5) for lang in LANGS] == [
        "12,345.5", "12\u00a0345,5", "12\u00a0345,5", "۱۲٬۳۴۵٫۵",
    ]  # fmt: skip
    assert [i18n.format_day(lang, MOMENT) for lang in LANGS] == [
        "5 January 2022", "5 января 2022 года", "2022 жылғы 5 қаңтар", "۵ ژانویه ۲۰۲۲",
    ]  # fmt: skip
    assert i18n.format_clock("fa", MOMENT) == "۱۳:۰۵"
    assert i18n.format_clock("ru", MOMENT, seconds=True) == "13:05:09"
    assert i18n.localize_band("en", "10-19") == "10–19"
    assert i18n.localize_band("fa", "50+") == "۵۰ یا بیشتر"
    assert i18n.join_names("kk", ["A", "B", "C"]) == "A, B және C"
    assert i18n.territory_name("fa", "KZ") == "قزاقستان"


def test_a_day_in_a_picture_cannot_be_taken_for_another() -> None:
    """01-05 is the first of May to half of the world."""
    told = {lang: i18n.format_short_day(lang, MOMENT) for lang in LANGS}
    assert told == {"en": "5 Jan", "ru": "5 янв.", "kk": "5 қаң.", "fa": "۵ ژانویه"}
    assert Locale("fa").short_day("2022-01-05T13:05:09Z") == "۵ ژانویه"


def test_russian_counts_in_three_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"one": "{n} сеть", "few": "{n} сети", "many": "{n} сетей"}
    monkeypatch.setattr(i18n, "load_catalogue", lambda lang: {"x": entry})
    told = [translate("ru", "x", n=n) for n in (0, 1, 2, 5, 11, 21, 22, 112)]
    assert told == [
        "0 сетей", "1 сеть", "2 сети", "5 сетей", "11 сетей", "21 сеть", "22 сети", "112 сетей",
    ]  # fmt: skip


def test_names_are_isolated_in_persian_and_nothing_is_trusted_as_html() -> None:
    told = translate("fa", "place.inside", country="قزاقستان", network="AS9198")
    assert "\u2068AS9198\u2069" in told
    assert "\u2068قزاقستان" not in told
    told = i18n.translate_html("en", "place.inside", country="<b>", network=Markup("<a>x</a>"))
    assert told == "&lt;b&gt;, <a>x</a>"


@pytest.mark.parametrize(
    ("asked", "accept", "lang"),
    [
        ("kk", "ru", "kk"),
        ("", "", "en"),
        ("", "de-DE,fa-AF;q=0.8,en;q=0.5", "fa"),
        ("", "RU-ru", "ru"),
        ("", "xx;q=nan,*;q=9", "en"),
        ("tlh", "kk;q=0.3", "kk"),
    ],
)  # fmt: skip
def test_the_address_decides_then_the_browser(asked: str, accept: str, lang: str) -> None:
    assert i18n.choose_locale(asked, accept).lang == lang


def test_links_keep_what_was_asked_for() -> None:
    assert (
        Locale("ru", is_explicit=True).link("/countries/KZ?since=1#now")
        == "/countries/KZ?since=1&lang=ru#now"
    )
    assert (Locale("ru").link("/"), Locale("fa").direction) == ("/", "rtl")
