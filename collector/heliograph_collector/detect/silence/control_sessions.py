"""Track sessions of controls, which witness our entrances from uncensored places.

Theory of operation. A control is an agent of the operator's in a place without censorship. It has
no vote on its country. But it holds a session by one of our entrances, as every agent does, and
loses that one with the people of a country if the entrance itself fails. For each control this
keeps where it is, the entrance of its session, and when it last lost a session by each entrance. A
session is lost by a row of that, and when the control comes by another entrance while it was
thought to be here: it had found that one before its loss was noticed. After a start of the
collector a control is awaited, and shows nothing until it is back.
"""

from dataclasses import dataclass, field

from heliograph_collector.model.signals import (
    DetectorSignal,
    Fault,
    Goodbye,
    VantageArrival,
    VantageLoss,
    is_other_way,
)


@dataclass(slots=True)
class ControlSession:
    """The session of one control, the present or the last one."""

    country: str
    carrier: str
    since_us: int  # here by this carrier since then, over renewals and starts of the collector
    is_here: bool = True
    is_awaited: bool = False  # since a start of the collector
    lost_us: dict[str, int] = field(default_factory=dict)  # by carrier: the last loss of a session


@dataclass(slots=True)
class ControlTracker:
    """The sessions of all controls, by pseudonym."""

    sessions: dict[str, ControlSession] = field(default_factory=dict)

    def take(self, signal: DetectorSignal) -> bool:
        """Note a signal of a control; return False if it is of somebody else, or of all."""
        if isinstance(signal, Fault):
            if signal.is_start:
                self._await_all()
            return False
        if isinstance(signal, VantageArrival):
            if signal.is_control:
                self._note_arrival(signal)
            return signal.is_control
        session = self.sessions.get(signal.nym)
        if session is not None and isinstance(signal, VantageLoss | Goodbye):
            if isinstance(signal, VantageLoss) and session.is_here:
                session.lost_us[session.carrier] = signal.at_us
            session.is_here = False
            session.is_awaited = False
        return session is not None

    def holds(self, country: str, carrier: str, since_us: int) -> bool:
        """Return whether a control outside a country has used a carrier since a time."""
        return any(
            s.is_here and s.carrier == carrier and s.since_us <= since_us
            for s in self._list_outside(country)
        )

    def has_lost(self, country: str, carrier: str, since_us: int, until_us: int) -> bool:
        """Return whether a control outside a country lost a carrier in a time span."""
        losses_us = (s.lost_us.get(carrier, 0) for s in self._list_outside(country))
        return any(since_us <= lost_us <= until_us for lost_us in losses_us)

    def _list_outside(self, country: str) -> list[ControlSession]:
        return [session for session in self.sessions.values() if session.country != country]

    def _await_all(self) -> None:
        for session in self.sessions.values():
            session.is_awaited |= session.is_here
            session.is_here = False

    def _note_arrival(self, signal: VantageArrival) -> None:
        witness = signal.witness
        session = self.sessions.get(witness.nym)
        if session is None:
            session = ControlSession(witness.place.country, witness.carrier, signal.at_us)
            self.sessions[witness.nym] = session
            return
        if session.is_here and is_other_way(witness.carrier, session.carrier):
            session.lost_us[session.carrier] = signal.at_us
        is_kept = witness.carrier == session.carrier and (session.is_here or session.is_awaited)
        session.since_us = session.since_us if is_kept else signal.at_us
        session.country = witness.place.country
        session.carrier = witness.carrier
        session.is_here = True
        session.is_awaited = False
