"""What an agent said of a class of service without the evidence: by voice, or in a digest."""

from heliograph.observation import Measurement
from heliograph.spoken import Life
from heliograph_collector.store.rows import State, Verdict

REPORTS = frozenset({"code", "digest"})  # experiments that are an agent's own word
CONFIDENCE = 0.5  # proven to be the agent's, and a word without steps


def told(measurement: Measurement) -> tuple[Verdict, ...]:
    """One verdict per class that it spoke of, and none of the whole: a report votes on nothing.

    That something fails is doubt: nothing says how, and there is nothing to hold it against.
    """
    experiment = measurement.experiment
    said = [
        (index, x.endpoint, x.exchange.reply == Life.ANSWERS)
        for index, x in enumerate(measurement.observations)
        if x.endpoint and x.exchange is not None
    ]
    return tuple(
        Verdict(
            state=State.REACHABLE if answers else State.UNKNOWN,
            rule=f"{experiment}.answers" if answers else f"{experiment}.fails",
            confidence=CONFIDENCE if answers else 0.0,
            endpoint=name,
            evidence=(index,),
        )
        for index, name, answers in said
    ) or (Verdict(state=State.UNKNOWN, rule=f"{experiment}.told", endpoint=experiment),)
