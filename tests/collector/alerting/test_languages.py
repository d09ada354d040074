"""A newsroom reads alerts in its own language, sentence and words alike."""

import json
import string
from dataclasses import replace

import pytest

from heliograph_collector.alerting.dispatcher import Transports
from heliograph_collector.alerting.incident_alerts import collect_alerts
from heliograph_collector.alerting.message import Message, format_mail_text, format_title
from heliograph_collector.alerting.words import DEFAULT, load_words
from heliograph_collector.config.receivers import LANGUAGES, STATES
from heliograph_collector.http.i18n import LANGS
from support.dispatcher_office import DESK, Post
from support.fake_feed import NOW_US, published
from support.incident_book import book, closed, silence

BASE = "https://sun.example.org"
EVENING = book(closed(silence(), 5))
ALERTS = [
    alert for alert in collect_alerts(EVENING, EVENING.entries, published({})) if alert["called"]
]


def message(language: str, count: int = 1) -> Message:
    return Message(id="m", alerts=ALERTS[:count], language=language)


def test_the_languages_are_those_of_the_pages_and_each_has_all_words() -> None:
    words = load_words()
    assert set(LANGUAGES) == set(LANGS) == {language for language, _ in words}
    for language, key in words:
        places = [sorted(f for _, f, _, _ in string.Formatter().parse(words[each]) if f)
                  for each in ((language, key), (DEFAULT, key))]  # fmt: skip
        assert places[0] == places[1], (language, key)
    assert len(words) % len(LANGUAGES) == 0
    assert all((DEFAULT, state) in words for state in (*STATES, "suspected"))


@pytest.mark.parametrize(
    ("language", "place", "state"),
    [
        ("ru", "Казахстан", "подтверждено"),
        ("kk", "Қазақстан", "расталған"),
        ("fa", "قزاقستان", "تأیید"),
    ],
)
def test_one_alert_is_its_sentence_and_how_sure_it_is(
    language: str, place: str, state: str
) -> None:
    assert place[:6] in format_title(message(language))
    text = format_mail_text(message(language), BASE)
    assert state in text
    assert "State:" not in text
    assert "Entry" not in text
    assert f"{BASE}/api/v1/log" in text
    several = format_mail_text(message(language, 2), BASE)
    assert "incidents" not in several.replace("/incidents/", "")
    assert several.count(place[:6]) >= 2


async def test_a_receiver_has_its_language_and_a_webhook_has_all() -> None:
    post = Post()
    transports = Transports(http=post, mail=post, base=BASE)
    await transports.deliver(replace(DESK, language="ru"), message(DEFAULT), NOW_US)
    await transports.deliver(DESK, message(DEFAULT), NOW_US)
    russian, english = (json.loads(text)["text"] for text in post.texts)
    assert "Казахстан" in russian
    assert "Kazakhstan" in english
    (alert,) = message(DEFAULT).to_payload(BASE, "")["alerts"]
    assert set(alert["translations"]) == set(LANGUAGES) - {DEFAULT}


def test_an_alert_of_an_older_outbox_stays_english() -> None:
    (alert,) = ALERTS[:1]
    old = {name: value for name, value in alert.items() if name != "translations"}
    stored = json.loads(json.dumps(old))
    title = format_title(Message(id="m", alerts=[stored], language="ru"))
    assert "Kazakhstan" in title
