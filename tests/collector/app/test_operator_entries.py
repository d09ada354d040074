"""The log has operator's and detector's entries, and they can be told apart."""

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.durable_file import read_lines
from heliograph.keys import ALERT
from heliograph_collector.cli import main
from heliograph_collector.http.api import feeds
from heliograph_collector.http.i18n import ENGLISH
from heliograph_collector.http.incident_document import (
    IncidentFilter,
    build_document,
    build_history,
    parse_us,
)
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.incidents.log_file import (
    LOG_FILE_NAME,
    EntryBasis,
    Proof,
    canonical_json,
    verify_lines,
)
from heliograph_collector.incidents.log_writer import IncidentLogWriter
from heliograph_collector.incidents.operator_entries import (
    ChangedError,
    OperatorEntry,
    OperatorEntryError,
)
from heliograph_collector.incidents.published.incident import IncidentDocument, OperatorStatements
from heliograph_collector.incidents.state import LogEntry, OperatorAct
from support.fake_feed import NOW_US
from support.incident_book import KEY, MINUTE, ago, part, silence

ID = "5e1f" * 4
SUSPECTED = IncidentState.SUSPECTED
DOUBT = silence(state=SUSPECTED, confirmed_us=None, confidence=0.5, held=("few_votes",))
ENDED = replace(silence(), state=IncidentState.CLOSED, closed_us=NOW_US)
CERTAIN = silence()


class Desk:
    """A ledger, its detector and its operator; each action takes a minute."""

    def __init__(self, data: Path) -> None:
        self.file = data / LOG_FILE_NAME
        self.ledger = IncidentLogWriter(self.file, KEY, 5)
        self._now_us = ago(20)

    def finds(self, *incidents: Incident) -> None:
        self._now_us += 2 * MINUTE
        grounds = EntryBasis(1, 9, ago(60), self._now_us, {"state": "c0ffee" * 10})
        self.ledger.write_changes(incidents, grounds, self._now_us)

    def says(self, act: OperatorAct, text: str = "", name: str = "", seen: int = 0) -> LogEntry:
        self._now_us += MINUTE
        seen = seen or len(self.ledger.book.entries)
        said = OperatorEntry(incident=ID, act=act, seen_number=seen, note=text, name=name)
        return self.ledger.write_operator_entry(said, self._now_us)

    def told(self) -> IncidentDocument:
        found = build_document(self.ledger.book.entries_of(ID), {}, 5)
        assert found is not None
        return found

    def statements(self) -> OperatorStatements:
        statements = self.told().operator
        assert statements is not None
        return statements

    def proof(self) -> Proof:
        return verify_lines(read_lines(self.file), KEY.public, self.ledger.book.head)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_confirmation_is_told_as_the_operators_and_never_as_the_detectors(desk: Desk) -> None:
    desk.finds(DOUBT)
    entry = desk.says(OperatorAct.CONFIRMED, "A colleague in Almaty says so by satellite.")
    told = desk.told()
    assert (told.state, told.detected) == ("confirmed", "suspected")
    assert (told.confirmed_by, told.confirmed) == (("operator",), None)
    verdict = desk.statements().confirmed
    assert verdict is not None
    assert verdict.text.startswith("A colleague")
    assert told.sentence.startswith("Confirmed by the operator: Kazakhstan went offline")
    assert entry.body.alert, "subscribers are called by it"
    assert len(told.evidence) == 1, "the operator's word rests on no rows of ours"
    desk.finds(CERTAIN)
    told = desk.told()
    assert told.confirmed_by == ("detector", "operator")
    assert told.confirmed is not None
    called = [e.body.change for e in desk.ledger.book.entries if e.body.alert]
    assert called == ["operator_confirmed"], "and not twice for the same"
    assert [alert.by for alert in told.alerts] == ["detector", "operator", "detector"]


def test_what_the_detector_lets_go_of_has_ended_where_the_operator_confirmed(desk: Desk) -> None:
    desk.finds(DOUBT)
    desk.says(OperatorAct.CONFIRMED)
    desk.finds(replace(DOUBT, state=IncidentState.WITHDRAWN, closed_us=NOW_US))
    told = desk.told()
    assert (told.state, told.detected, told.withdrawn_by) == ("closed", "withdrawn", "")


@pytest.mark.parametrize("before", [DOUBT, CERTAIN])
def test_what_is_not_found_any_more_is_over_since_then(desk: Desk, before: Incident) -> None:
    """An incident that is found no more is over since its last sight.

    Otherwise it would last for ever in pictures, and in every later window.
    """
    desk.finds(before)
    desk.finds()
    told = desk.told()
    assert told.detected == "withdrawn"
    assert told.closed == told.updated
    assert not IncidentFilter(since_us=parse_us(told.closed or "") + 1).matches(told)
    number = len(desk.ledger.book.entries)
    desk.finds()
    assert len(desk.ledger.book.entries) == number
    assert desk.proof().bad is None


@pytest.mark.parametrize(
    ("before", "news", "state"),
    [
        (CERTAIN, replace(CERTAIN, confidence=0.7), "withdrawn"),
        (CERTAIN, ENDED, "withdrawn"),
        (CERTAIN, replace(CERTAIN, parts=(part(9.0, "KZ", "ALA"),)), "withdrawn"),
        (CERTAIN, replace(CERTAIN, parts=(part(24.0, "KZ"), part(9.0, "UZ"))), "confirmed"),
        (DOUBT, CERTAIN, "confirmed"),
    ],
    ids=["surer", "ended", "narrower", "another place", "confirmed by the detector"],
)
def test_a_withdrawal_stands_until_there_is_new_evidence(
    desk: Desk, before: Incident, news: Incident, state: str
) -> None:
    desk.finds(before)
    desk.says(OperatorAct.WITHDRAWN, "Our carrier had a fault.")
    assert desk.told().sentence.startswith("Withdrawn by the operator: we reported that")
    desk.finds(news)
    told = desk.told()
    assert told.state == state
    assert told.detected == news.state
    verdict = desk.statements().withdrawn
    assert verdict is not None
    stands = verdict.until is None
    assert stands == (state == "withdrawn")


def test_receivers_of_a_withdrawal_also_get_what_came_after(desk: Desk) -> None:
    desk.finds(CERTAIN)
    desk.says(OperatorAct.WITHDRAWN, "Our carrier had a fault.")
    desk.says(OperatorAct.CONFIRMED, "It had not.")
    desk.says(OperatorAct.WITHDRAWN, "It had, after all.")
    desk.finds(replace(CERTAIN, parts=(part(24.0, "KZ"), part(9.0, "UZ"))))
    again = Desk(desk.file.parent)  # who was called is known from the log alone
    again._now_us = desk._now_us
    again.finds(ENDED)
    called = [e.body.change for e in again.ledger.book.entries if e.body.alert]
    assert called == ["confirmed", "operator_withdrawn", "operator_confirmed", "operator_withdrawn",
                      "revised", "closed"]  # fmt: skip


def test_what_may_not_be_said_is_refused_with_its_cure(desk: Desk) -> None:
    desk.finds(CERTAIN)
    for act, text, why in (
        (OperatorAct.ANNOTATED, " \n ", "wants some text"),
        (OperatorAct.WITHDRAWN, "", "reason is required"),
        (OperatorAct.ANNOTATED, "x" * 501, "at most 500"),
        (OperatorAct.ANNOTATED, "left \u202eright", r"U\+202E"),
    ):
        with pytest.raises(OperatorEntryError, match=why):
            desk.says(act, text)
    desk.says(OperatorAct.ACKNOWLEDGED)
    with pytest.raises(OperatorEntryError, match="already"):
        desk.says(OperatorAct.ACKNOWLEDGED)
    desk.finds(ENDED)
    with pytest.raises(ChangedError, match="look again"):
        desk.says(OperatorAct.WITHDRAWN, "It never was.", seen=2)
    desk.says(OperatorAct.ANNOTATED, "می‌دانیم", seen=2)  # a note is true whatever came meanwhile
    with pytest.raises(OperatorEntryError, match="No incident"):
        desk.ledger.write_operator_entry(
            OperatorEntry(incident="none", act=OperatorAct.CONFIRMED, seen_number=1), NOW_US
        )
    assert len(desk.ledger.book.entries) == 4


def test_nobody_is_named_but_who_chose_to_be(desk: Desk) -> None:
    desk.finds(CERTAIN)
    desk.says(OperatorAct.ANNOTATED, "Two providers answer by telephone.")
    desk.says(OperatorAct.ANNOTATED, "Three do.", name="Aigerim")
    assert [note.name for note in desk.statements().notes] == ["", "Aigerim"]
    lines = build_history(desk.ledger.book.entries_of(ID), {}, 5)
    assert [alert.text for alert, _ in lines[1:]] == [
        "Two providers answer by telephone.",
        "Three do.",
    ]


def test_the_log_with_them_is_proved_read_again_and_gone_on_with(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.finds(DOUBT)
    desk.says(OperatorAct.CONFIRMED, "Seen.")
    again = Desk(tmp_path)
    assert again.told() == desk.told()
    again.finds(CERTAIN)
    assert (again.proof().bad, again.proof().entries, again.proof().acts) == (None, 3, 1)
    key = ("--key", KEY.public.hex(), "--data", str(tmp_path))
    assert main(["log", "verify", *key]) == 0
    assert "1 of them are the operator's own words" in capsys.readouterr().out


def test_an_operators_entry_must_speak_of_one_that_is_there(desk: Desk) -> None:
    """An operator's entry must refer to an existing incident, even with a stolen key."""
    desk.finds(DOUBT)
    entry = desk.says(OperatorAct.CONFIRMED)
    lines = list(read_lines(desk.file))
    for about in ({"entry": 1, "hash": "0" * 64}, {"entry": 2, "hash": entry.hash}, {}):
        forged = json.loads(lines[1])
        del forged["signature"]
        forged["body"]["about"] = about
        signature = b64encode(KEY.sign(ALERT, canonical_json(forged))).decode()
        proof = verify_lines(
            [lines[0], canonical_json(forged | {"signature": signature})], KEY.public
        )
        assert (proof.bad, proof.entries) == (2, 1)
        assert "the operator's" in proof.why


def test_feeds_give_the_operators_reason_while_it_stands(desk: Desk) -> None:
    desk.finds(CERTAIN)
    desk.says(OperatorAct.CONFIRMED, "Seen from Bishkek.")
    assert "The operator says: “Seen from Bishkek.”." in feeds.summarize_incident(
        desk.told(), ENGLISH
    )
    desk.says(OperatorAct.WITHDRAWN, "It was our carrier.")
    told = feeds.summarize_incident(desk.told(), ENGLISH)
    assert "our carrier" in told
    assert "Bishkek" not in told
