"""Views of judge processes: each compares with the same as the process that sends it."""

import msgspec
import pytest

from heliograph.services import load_shipped_services
from heliograph_collector.app import sent_views
from heliograph_collector.app.judge_messages import ViewedRequest
from heliograph_collector.app.sent_views import NotSentError, ViewReader, ViewSender
from heliograph_collector.control import ControlContext
from heliograph_collector.store.journal.decode import read_rows
from support.judged_rows import build_rows
from support.rows import NAMES

SERVICES = load_shipped_services().services


def test_views_arrive_as_they_were_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over two senders, as after the loss of the process with the context, to one reader."""
    monkeypatch.setattr(sent_views, "MEASUREMENTS_KEPT", 3)
    records = read_rows(build_rows(160), NAMES).records
    context = ControlContext(SERVICES)
    reader = ViewReader(SERVICES)
    sent_count = 0
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
                for part in (received.looks, received.peer_comparisons):
                    with pytest.raises(NotSentError):
                        bool(part)
        assert len(sender._numbers) <= 3 + 8
    assert sent_count > 20
