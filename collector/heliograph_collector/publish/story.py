"""An incident in plain sentences, from what the feed may say of it and nothing else."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from heliograph_collector.publish import words

Json = Mapping[str, Any]
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_NETWORKS = {"mobile": "mobile networks", "fixed": "fixed lines", "hosting": "hosting networks"}
_BEGAN = {
    "service_blocking": "blocking",
    "throttling": "throttling",
    "partial": "partial blocking",
}
_NOWHERE = {"country": "", "region": "", "asn": 0, "access": ""}
_NAMED = 3  # so many cells are named in a sentence
_FINE_S = 300  # a shorter bracket is told to the second


def sentence(incident: Json) -> str:
    """What happened where, when and how surely, in one sentence; times are brackets in UTC."""
    text = f"{_beginning(incident)} {between(incident['started'])}{_ending(incident)}."
    by_operator = "operator" in incident.get("confirmed_by", ())
    if incident["state"] == "withdrawn":
        by = " by the operator" if incident.get("withdrawn_by") == "operator" else ""
        return f"Withdrawn{by}: it was said that {text}"
    if incident["confirmed"] is None:
        return f"{'Confirmed by the operator' if by_operator else 'Not confirmed'}: {text}"
    return text[0].upper() + text[1:]


def _beginning(incident: Json) -> str:
    place = where(incident["parts"], incident["scope"])
    if incident["kind"] == "network_silence":
        return f"{place} fell silent"
    how = words.how(incident["layer"], incident["method"])
    what = _BEGAN.get(incident["kind"], words.KINDS.get(incident["kind"], incident["kind"]))
    told = f"{what} of {incident['title']}" + (f" ({how})" if how else "")
    on = "on" if all(part["asn"] or part["access"] for part in incident["parts"]) else "in"
    return f"{told} began {on} {place}"


def _ending(incident: Json) -> str:
    silence = incident["kind"] == "network_silence"
    if incident["ended"]:
        day = moment(incident["started"]["latest"]).date()
        came = "came back" if silence else "ended"
        return f" and {came} {between(incident['ended'], day)}"
    if incident["state"] in ("suspected", "confirmed"):
        return "; no return so far" if silence else " and goes on"
    return ""


def where(parts: Sequence[Json], scope: Json) -> str:
    """ "Kazakhstan", "mobile networks and AS9198 in Kazakhstan", "KZ-ALA, Kazakhstan"."""
    country = words.country(scope["country"])
    names = [cell(part) for part in parts or [scope]]
    if not all(names):
        place = country
    else:
        regions = any(part["region"] for part in parts or [scope])
        place = f"{_listed(names)}{', ' if regions else ' in '}{country}"
    spared = [spared_in(part, other) for part in parts for other in part["except"]]
    return f"{place} except {_listed(spared)}" if any(spared) else place


def spared_in(part: Json, other: Json) -> str:
    """A cell inside another, without what both are called by."""
    both = [name for name in ("region", "asn", "access") if part[name] == other[name]]
    return cell({**other, **{name: _NOWHERE[name] for name in both}})


def cell(scope: Json) -> str:
    """A cell inside its country; "" for the whole of it."""
    asn, access, region = scope["asn"], str(scope["access"]), str(scope["region"])
    who = f"AS{asn} {access}".rstrip() if asn else _NETWORKS.get(access, access)
    return f"{who} in {region}" if who and region else who or region


def _listed(names: Sequence[str]) -> str:
    told = list(names[:_NAMED])
    if len(names) > _NAMED:
        told.append(f"{len(names) - _NAMED} more")
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def between(bracket: Json, told: object = None) -> str:
    """ "between 10:03 and 10:05 UTC on 5 January 2022"; without the day when it is `told`."""
    low, high = moment(bracket["earliest"]), moment(bracket["latest"])
    fine = (high - low).total_seconds() < _FINE_S
    first, last = _clock(low, fine), _clock(high, fine)
    if low == high:
        return f"at {first} UTC{_on(low, told)}"
    if low.date() == high.date():
        return f"between {first} and {last} UTC{_on(low, told)}"
    return f"between {first} UTC{_on(low, told)} and {last} UTC{_on(high, None)}"


def at(text: str) -> str:
    """ "10:03:20 UTC on 5 January 2022" """
    when = moment(text)
    return f"{_clock(when, True)} UTC{_on(when, None)}"


def turn(one: Json, country: str) -> str:
    """A part came back, or went dark again."""
    place = where(one["parts"], {**_NOWHERE, "country": country})
    came = "came back" if one["way"] == "opening" else "went dark again"
    return f"{place[0].upper()}{place[1:]} {came} {between(one['when'])}."


def sure(incident: Json) -> str:
    """How sure it is, and by whose votes."""
    parts = incident["parts"]
    told = f"{words.sure(incident['confidence'])} ({incident['confidence']:g} of 1)"
    votes = [
        f"{part['votes'].replace('-', chr(0x2013))} votes from "
        f"{part['networks']} network{'' if part['networks'] == 1 else 's'}, "
        f"{_most(part['share'])} of them {_hit(incident['kind'])}"
        for part in parts[:1]
    ]
    more = f"; and {len(parts) - 1} more places" if len(parts) > 1 else ""
    return f"{told}: {votes[0]}{more}" if votes else told


def _most(share: float) -> str:
    return "all" if share >= 1 else f"at least {share:.0%}"


def _hit(kind: str) -> str:
    return "silent" if kind == "network_silence" else "failing"


def _clock(when: datetime, fine: bool) -> str:
    return f"{when:%H:%M:%S}" if fine else f"{when:%H:%M}"


def _on(when: datetime, told: object) -> str:
    return "" if when.date() == told else f" on {when.day} {_MONTHS[when.month - 1]} {when.year}"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
