"""What an agent said by voice: its own word on a class of service, without the evidence."""

from heliograph.observation import Measurement
from heliograph.spoken import Life
from heliograph_collector.store.rows import State, Verdict

EXPERIMENT = "code"
CONFIDENCE = 0.5  # proven to be the agent's, and a word without steps


def told(measurement: Measurement) -> tuple[Verdict, ...]:
    """One verdict per class that it spoke of, and none of the whole: a report votes on nothing.

    That something fails is doubt: a code does not say how, and there is nothing to hold it against.
    """
    said = [
        (index, x.endpoint, x.exchange.reply == Life.ANSWERS)
        for index, x in enumerate(measurement.observations)
        if x.endpoint and x.exchange is not None
    ]
    return tuple(
        Verdict(
            state=State.REACHABLE if answers else State.UNKNOWN,
            rule="code.answers" if answers else "code.fails",
            confidence=CONFIDENCE if answers else 0.0,
            endpoint=name,
            evidence=(index,),
        )
        for index, name, answers in said
    ) or (Verdict(state=State.UNKNOWN, rule="code.told", endpoint=EXPERIMENT),)
