"""Views sent between judge processes compare like those of their sender."""

import msgspec
import pytest

from heliograph.services import load_shipped_services
from heliograph_collector.app import sent_views
from heliograph_collector.app.judge_messages import ViewedRequest
from heliograph_collector.app.sent_views import NotSentError, ViewReader, ViewSender
from heliograph_collector.control import ControlContext, extract_outcomes
from heliograph_collector.control.cache import ChosenLooks
from heliograph_collector.store.journal.decode import read_rows
from support.judged_rows import build_rows
from support.rows import NAMES

SERVICES = load_shipped_services().services


def test_views_arrive_as_they_were_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views arrive as found, over two senders, as when a process was lost."""
    monkeypatch.setattr(sent_views, "MEASUREMENTS_KEPT", 3)
    records = read_rows(build_rows(160), NAMES).records
    context = ControlContext(SERVICES)
    reader = ViewReader(SERVICES)
    sent_count = looks_count = 0
    for sender in (ViewSender(), ViewSender()):
        for at in range(0, len(records), 8):
            block = records[at : at + 8]
            for record in block:
                context.update(record)
            views = [context.view_of(record) for record in block]
            request = sender.build_request(1, list(range(len(block))), block, views)
            request = msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=ViewedRequest)
            sent_count += len(request.measurements)
            for view, received in zip(views, reader.read(request, block), strict=True):
                assert received is not None
                assert received.measurement == view.measurement
                assert received.profile == view.profile
                assert (received.age_us, received.is_later) == (view.age_us, view.is_later)
                assert (received.link, received.network) == (view.link, view.network)
                assert (received.groups, received.functions) == (view.groups, view.functions)
                assert received.is_substitute == view.is_substitute
                assert list(received.looks) == list(view.looks)
                looks_count += len(received.looks)
        assert len(sender._numbers) <= 3 + 8
    assert sent_count > 20
    assert looks_count > 20


def test_peers_and_looks_of_failed_endpoints_arrive_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Peers and visits of failed endpoints arrive, and no others.

    Visits count where they are more than those sent of a success.
    """
    monkeypatch.setattr(sent_views, "LOOKS_OF_SUCCESS", 0)
    records = read_rows(build_rows(160), NAMES).records
    context = ControlContext(SERVICES)
    for record in records:
        context.update(record)
    views = [context.view_of(record) for record in records]
    request = ViewSender().build_request(1, list(range(len(records))), records, views)
    request = msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=ViewedRequest)
    compared = 0
    for record, view, received in zip(
        records, views, ViewReader(SERVICES).read(request, records), strict=True
    ):
        assert received is not None
        for label, is_good in extract_outcomes(record.measurement).items():
            if is_good:
                with pytest.raises(NotSentError):
                    received.peer_comparisons.get(label)
            else:
                peers = view.peer_comparisons.get(label)
                assert received.peer_comparisons.get(label) == peers
                compared += peers is not None
        outcomes = extract_outcomes(record.measurement).values()
        candidates = view.looks.list_candidates() if isinstance(view.looks, ChosenLooks) else ()
        if outcomes and all(outcomes) and candidates:
            with pytest.raises(NotSentError):
                bool(received.looks)
        else:
            assert list(received.looks) == list(view.looks)
        with pytest.raises(NotSentError):
            bool(received.peer_comparisons)
    assert compared > 0
