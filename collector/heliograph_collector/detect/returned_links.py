"""Whether hosts abroad answer an agent that is back from a silence.

Its session may lead to an entrance in its country, which a list lets pass while all else is cut.
"""

from collections.abc import Iterator

from heliograph.units import SECOND_US
from heliograph_collector.detect.link_readings import EnvelopeReadings, Gap, read_links
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import LinkTest

_MIN_ANCHORS = 3  # as in `judge/isolation.py`: one that is blocked, or down, isolates nobody
# From the start of a test of anchors until it is here by a session that lives: a test takes up to
# 20 s, a batch 30 s; assumed.
_PROMPT_US = 60 * SECOND_US
# In which a control must have reached anchors; controls test as often as agents, every 300 s.
_CONTROL_US = 900 * SECOND_US


def find_answer_us(row: JournalRow) -> int:
    """Return when anchors last answered a control in an envelope; 0 if they did not."""
    return max((reading.at_us for reading in read_links(row) if reading.is_online), default=0)


def read_link_tests(
    pseudonym: str, gap: Gap, envelope: EnvelopeReadings, control_us: int
) -> Iterator[LinkTest]:
    """Yield what an agent has found of hosts abroad since its return, and note it in its gap.

    Args:
        control_us: When they last answered a control: without it they may be down.
    """
    if not gap.back_us:
        return
    for reading in envelope.readings:
        is_since = reading.at_us >= gap.back_us + gap.margin_us
        is_prompt = envelope.at_us - reading.at_us <= _PROMPT_US
        if reading.is_online is None or not (is_since and is_prompt):
            continue
        is_proof = reading.anchors >= _MIN_ANCHORS and reading.at_us - control_us <= _CONTROL_US
        if reading.is_online or is_proof:
            gap.is_isolated = not reading.is_online
            yield LinkTest(envelope.at_us, pseudonym, reading.at_us, reading.is_online)
