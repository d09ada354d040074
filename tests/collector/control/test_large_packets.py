"""A path that loses large packets is not a block, in the real assessor."""

import pytest

from heliograph.units import HOUR_US
from heliograph_collector.control.vantage_memory import PASSED_US
from heliograph_collector.model.records import ReceivedMeasurement, VerdictState
from support.control_records import overall
from support.vantage_streams import NAMES, assess, controls, measure, page

LOST = "generic_timeout_error"
NEWS, CHAT = NAMES[:2]
IPV6 = "2001:470::1"
DOUBT = (VerdictState.UNKNOWN, "tls.large_packets")
BLOCKED = (VerdictState.BLOCKED, "tls.timeout_after_hello")


def see(name: str, tls: str, minute: float = 5, **facts: str) -> ReceivedMeasurement:
    address = facts.pop("address", f"9.8.7.{NAMES.index(name)}")
    return measure(name, page(name, address, tls), minute, **facts)


def hellos(name: str, end: str, minute: float = 6) -> ReceivedMeasurement:
    """Return results of `hello` with large hellos, ours and browsers'."""
    labels = ("own", "firefox", "chrome", "chrome_late", "neutral", "again")
    steps = {x: [{"connect 9.8.7.0": "ok"}, {f"tls {name}": f"{end} large"}] for x in labels}
    return measure(name, steps, minute, experiment="hello", target=f"{name}:443")


def judge_news(*records: ReceivedMeasurement) -> tuple[VerdictState, str]:
    stream = sorted(records, key=lambda record: record.started_us)
    judged = assess(controls(4), *([record] for record in stream))
    (verdict,) = (overall(j) for j in judged if j[0].measurement.target == f"https://{NEWS}/")
    return verdict


@pytest.mark.parametrize("size", ["large", "small"])
def test_names_that_all_lose_large_packets_are_not_blocked(size: str) -> None:
    """Lookups and connections pass; every handshake dies, and so do browsers' hellos."""
    pages = [see(name, f"{LOST} {size}", 5 + i) for i, name in enumerate(NAMES)]
    judged = assess(controls(4), [*pages, hellos(NEWS, LOST, 12)])
    verdicts = {overall(j) for j in judged if j[0].measurement.experiment != "hello"}
    states = {overall(j)[0] for j in judged}
    assert (verdicts, len(judged)) == ({DOUBT}, len(NAMES) + 1)
    assert VerdictState.BLOCKED not in states


@pytest.mark.parametrize(
    ("failed", "others", "expected"),
    [
        (f"{LOST} large", [], DOUBT),
        (f"{LOST} large", [see(CHAT, "ok large", 3)], BLOCKED),
        (f"{LOST} large", [see(CHAT, "ok large", 9)], BLOCKED),  # and is judged again
        (f"{LOST} large", [hellos(CHAT, "ok")], BLOCKED),
        (f"{LOST} large", [see(CHAT, "ok small", 3)], DOUBT),
        (f"{LOST} small", [see(CHAT, "ok small", 3)], BLOCKED),
        (f"{LOST} small", [see(CHAT, "ok large", 3)], BLOCKED),
        (f"{LOST} large", [see(CHAT, "connection_reset large", 3)], DOUBT),
        (f"{LOST} large", [see(CHAT, "ok large", -175)], DOUBT),
        (f"{LOST} large", [see(CHAT, "ok large", 3, nym="other")], DOUBT),
        (f"{LOST} large", [see(CHAT, "ok large", 3, epoch="other")], DOUBT),
        (f"{LOST} large", [see(CHAT, "ok large", 3, address=IPV6)], DOUBT),
        ("connection_reset large", [], (VerdictState.BLOCKED, "tls.reset_after_hello")),
        (LOST, [], BLOCKED),  # of an agent that does not tell the size
    ],
)  # fmt: skip
def test_silence_after_a_hello_is_a_block_where_one_as_large_passes(
    failed: str, others: list[ReceivedMeasurement], expected: tuple[VerdictState, str]
) -> None:
    assert judge_news(see(NEWS, failed), *others) == expected


def test_block_that_is_told_days_later_in_one_batch_is_a_block() -> None:
    """A block reported days later in one batch is a block.

    The path's state in the hour of the test counts, and not the last one.
    """
    hours = range(1, 60)
    later = [see(CHAT, "ok large", 60 * hour) for hour in hours]
    batch = [see(CHAT, "ok large", 3), see(NEWS, f"{LOST} large"), *later]
    judged = assess(controls(4), batch)
    assert PASSED_US == HOUR_US
    assert BLOCKED in {overall(j) for j in judged}
