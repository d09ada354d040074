"""Explain a silence as a cut, a power failure, or a block of this collector.

Each vantage that fell silent may give testimony, at once or when it is back:

- *online*: foreign anchors answered it while the carrier that it was lost by stayed dead for longer
  than an agent waits between two attempts. Then its network worked and the way to us did not.
- *interrupted*: the same, but it tells only when it is back by the lost carrier, within minutes,
  and hardly anybody is online by another way. Sessions break so where lines dial in again, a NAT
  restarts, or IPv6 fails; a block lasts.
- *offline*: the first that it measured in the silence was that no foreign anchor answers. That
  stands when it is lost again in the same outage, until it measures a link that works.
- *stopped*: its machine is known to have run through the silence, and the agent, back for ten
  minutes by the same way, tells nothing of it. One that runs always does: it had stopped itself.
- *powerless*: it went from mains to battery before its loss, or as the outage began, or its machine
  rebooted in it and had measured nothing in it before. One that had says nothing of power: it was
  restarted, or switched off for a night, as nearly all are in a cut of days. Where lines alone
  fell, and machines began in the minutes in which these came back, those that ran on are laptops
  behind a dead router: they tell what they would in a cut, and contradict nothing.
  Machines that began hours after the network was back say nothing either (late_boots.py).
- *powered*: it ran on in the silence. Where lines fell as by a grid, a machine with a battery does
  so without power, too, and says nothing.

A cause is named when at least `told_share` of the silent votes tell it and few contradict. Fewer
vantages may be wrong or collude, and only leave a cut in doubt (`are_links_told`), or lower the
confidence in it. A return by another carrier without a measurement is counted as online only where
hardly anybody returned by the lost one: after a cut agents come back by all ways. An agent that
finds the other way within two retries may have had no time to measure in between, and its return is
all that it has to tell. Where some did, which nobody can in a cut, those that find it later tell
the same.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.late_boots import drop_late_boots
from heliograph_collector.detect.silence.own_breaks import drop_own_breaks
from heliograph_collector.detect.silence.silence_evidence import SilenceEvidence
from heliograph_collector.detect.silence.silent_carriers import list_lost_carriers
from heliograph_collector.detect.silence.steadiness import REJOIN_US
from heliograph_collector.detect.silence.switched_off import (
    LINES_SHARE,
    NEARLY_ALL,
    are_together,
    went_by_network,
    went_one_by_one,
)
from heliograph_collector.detect.silence.testimony import Testimony
from heliograph_collector.detect.silence.vantage_presence import (
    BOOT_US,
    VantagePresence,
)
from heliograph_collector.detect.silence.vantage_votes import count_hits
from heliograph_collector.detect.stats.tails import measure_spread, quantile
from heliograph_collector.detect.stats.voting import count_total, is_established
from heliograph_collector.model.signals import OfflineReport, VantageRef
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

BLOCK_DETECTED_US = 300 * SECOND_US  # by then a block of the collector is detected; assumed
_DOUBT_SHARE = 0.1  # of those that fell silent, whose reports leave a cut in doubt; assumed
_SMALL_FLEET = 20  # that fell silent: one or two of them are a tenth; assumed
_PROMPT_SHARE = 0.1  # of those that fell silent, who evade a block within two retries; assumed


def weigh_evidence(
    silenced: Iterable[VantagePresence],
    reports: Mapping[str, OfflineReport],
    now_us: int,
    limits: Thresholds,
    nat_votes: int = 1,
    *,
    is_cut: bool = False,
    is_grid: bool = False,
    fallen_lines: float = 0.0,
    since_us: int = 0,
    until_us: int | None = None,
) -> SilenceEvidence:
    """Count the testimony of vantages that fell silent, whether or not they are back.

    Args:
        nat_votes: The votes of a carrier's NAT at most.
        is_cut: A cut of them was confirmed, so that no more of them will fall silent.
        is_grid: They are held as a power failure for how they fell. Then a fifth suffices that
            tell of it, as most machines have no battery; and phones, which have, contradict
            nothing: their masts fail.
        fallen_lines: The share of the country's lines that fell too. Phones may follow a grid, and
            machines of which nearly all fell were not switched off.
        since_us: What an earlier silence since then told of power counts too, where power comes and
            goes; 0 if only the last silence counts.
        until_us: Its end, None while it lasts. What was told of it stands, but who was lost again
            says no more by its times how all went.
    """
    established = [s for s in silenced if is_established(s.witness, now_us, limits)]
    members = drop_own_breaks(established, now_us, limits.votes)
    testimony = [
        Testimony(s, reports.get(s.witness.nym), now_us, limits, since_us, until_us)
        for s in members
    ]
    count = partial(_count, testimony, nat_votes=nat_votes)
    offline = count([t.is_offline for t in testimony])
    in_turn = offline >= limits.witnesses and _did_networks_go_in_turn(testimony)
    powerless, off, are_reboots_void = _list_powerless(testimony, fallen_lines, in_turn=in_turn)
    powered = [t.is_powered and not (is_grid and t.has_battery) for t in testimony]
    least = 1 if is_cut and len(testimony) < limits.few else limits.witnesses
    online, interrupted = _list_online(testimony, limits, least, nat_votes)
    return SilenceEvidence(
        silent=count([True for _ in testimony]),
        online=count(online),
        offline=offline,
        powerless=count(powerless),
        powered=count(powered),
        stopped=count(_list_stopped(testimony, off)),
        interrupted=count(interrupted),
        booted=0.0 if are_reboots_void or any(off) else count(_list_booted(testimony)),
        is_grid=is_grid,
        may_boot=is_grid and _may_boot(members, now_us),
        lost_by=list_lost_carriers(
            t.reported_carrier for t, is_told in zip(testimony, online, strict=True) if is_told
        ),
    )


def _list_online(
    testimony: Sequence[Testimony], limits: Thresholds, least: int, nat_votes: int
) -> tuple[list[bool], list[bool]]:
    """List those whose links worked, and those of them whose lost carrier soon did too.

    Where enough tell so while it is dead, the latter are no mere interruption.

    Args:
        least: Votes of those that evade a block soon, or tell of one, at least.
        nat_votes: The votes of a carrier's NAT at most.
    """
    rerouted = _list_rerouted(testimony, limits, least)
    online = [t.is_online or is_hit for t, is_hit in zip(testimony, rerouted, strict=True)]
    interrupted = [t.is_interrupted for t in testimony]
    evading = [hit and not t.tells_at_return for t, hit in zip(testimony, online, strict=True)]
    if _count(testimony, evading, nat_votes=nat_votes) >= max(
        least, _PROMPT_SHARE * len(testimony)
    ):
        online = [any(hits) for hits in zip(online, interrupted, strict=True)]
        interrupted = [False] * len(testimony)
    return online, interrupted


def _list_powerless(
    testimony: Sequence[Testimony], fallen_lines: float, *, in_turn: bool
) -> tuple[list[bool], list[bool], bool]:
    """List the powerless vantages, and the machines that were only switched off.

    Machines of a grid that fails go together. Phones have batteries: where they alone fell, that
    they began again is no sign of it. Nor is it where networks fell in turn, or nearly all lines
    did one by one while some had power: then it is a sign of nothing.

    Returns:
        Both lists, and whether a machine that began again says nothing.
    """
    powerless = drop_late_boots(testimony, [t.is_powerless for t in testimony])
    are_phones = all(t.is_phone for t in testimony)
    if are_phones and fallen_lines >= LINES_SHARE:
        return powerless, [False] * len(testimony), False
    began = [
        hit and not t.vantage.lost_on_battery for t, hit in zip(testimony, powerless, strict=True)
    ]
    is_single = not in_turn and went_one_by_one(_select_vantages(testimony, began))
    if is_single and fallen_lines >= NEARLY_ALL:
        is_single = False
        in_turn = sum(t.is_powered and not t.has_battery for t in testimony) >= THRESHOLDS.witnesses
    off = [hit and is_single for hit in began]
    if is_single or are_phones or in_turn:
        powerless = [hit and not is_began for hit, is_began in zip(powerless, began, strict=True)]
    return powerless, off, in_turn


def _list_stopped(testimony: Sequence[Testimony], off: Sequence[bool]) -> list[bool]:
    """List which agents stopped or had no power; none if all returned together."""
    stopped = [t.is_stopped or is_off for t, is_off in zip(testimony, off, strict=True)]
    backs_us = [v.back_us for v in _select_vantages(testimony, stopped)]
    return stopped if measure_spread(backs_us) > REJOIN_US else [False] * len(testimony)


def _did_networks_go_in_turn(testimony: Sequence[Testimony]) -> bool:
    """Return whether networks fell in turn, together with machines that rebooted.

    That is how an order comes, if some tell of a dead network: offices close so too. The cabinets
    of each operator may have other batteries, but homes lose their power together.
    """
    machines = _select_vantages(testimony, [t.is_powerless for t in testimony])
    everybody = _select_vantages(testimony, [True for _ in testimony])
    return not are_together(machines) and went_by_network(everybody)


def _select_vantages(testimony: Sequence[Testimony], hits: Sequence[bool]) -> list[VantagePresence]:
    """Select vantages whose times of loss and return are those of this silence."""
    return [
        t.vantage for t, hit in zip(testimony, hits, strict=True) if hit and not t.is_lost_again
    ]


def _may_boot(members: Iterable[VantagePresence], now_us: int) -> bool:
    """Return whether most returned so lately that more machines may yet boot."""
    backs_us = [v.back_us for v in members if v.is_live and v.back_us >= v.lost_us]
    return bool(backs_us) and now_us - quantile(backs_us, 0.5) < BOOT_US


def _list_booted(testimony: Sequence[Testimony]) -> list[bool]:
    """List machines that booted as lines of their region returned.

    It lists none unless lines alone fell. A machine that is off by night boots in the morning, long
    after the end of a cut of that night.
    """
    if any(t.vantage.place.access != "fixed" for t in testimony):
        return [False] * len(testimony)
    back_us: defaultdict[str, list[int]] = defaultdict(list)
    for each in testimony:
        if each.is_powered and each.vantage.back_us >= each.vantage.heard_us:
            back_us[each.vantage.place.region].append(each.vantage.back_us)
    latest_us = {region: quantile(times_us, 0.8) for region, times_us in back_us.items()}
    return [
        t.has_booted
        and t.vantage.booted_us
        <= latest_us.get(t.vantage.place.region, t.vantage.booted_us) + BOOT_US
        for t in testimony
    ]


def are_links_told(
    silenced: Iterable[VantagePresence],
    reports: Mapping[str, OfflineReport],
    now_us: int,
    limits: Thresholds,
    *,
    is_early: bool = False,
    is_standing: bool = False,
) -> bool:
    """Return whether too many report working links for it to be a cut.

    Nobody can report that in a cut, and a vantage with a link of another kind comes back by the
    same entrance. So a tenth of the votes are enough, of three vantages, in two networks where a
    tenth fell in each of two; unless so many say that no anchor answered that these are two fifths
    of all words.

    Args:
        silenced: The vantages that fell silent, whether or not they are back.
        reports: Their reports, by pseudonym.
        now_us: The present time.
        limits: The thresholds.
        is_early: There was no time yet for a lost carrier to stay dead, nor for those back by
            another one to tell more than that.
        is_standing: The cut was confirmed. Then one or two may be enough; before, they could keep a
            true one of a small fleet from being confirmed at all.
    """
    members = [v for v in silenced if is_established(v.witness, now_us, limits)]
    testimony = [Testimony(v, reports.get(v.witness.nym), now_us, limits) for v in members]
    told = [t for t in testimony if t.claims_link(is_early=is_early)]
    if len(told) < limits.witnesses:
        is_enough = is_standing and _suffice_of_few(testimony, told)
    else:
        fallen = Counter(vantage.place.asn for vantage in members)
        large = sum(count >= _DOUBT_SHARE * len(members) for count in fallen.values())
        is_enough = len({t.vantage.place.asn for t in told}) >= min(limits.networks, large)
    if not is_enough:
        return False
    weights = _weigh_members(members, limits)
    online = sum(weights[t.vantage.witness.prefix] for t in told)
    offline = sum(weights[t.vantage.witness.prefix] for t in testimony if t.is_offline)
    least = _DOUBT_SHARE * sum(weights[vantage.witness.prefix] for vantage in members)
    return online >= max(least, limits.confirm_share * (online + offline))


def _suffice_of_few(testimony: Sequence[Testimony], claims: Sequence[Testimony]) -> bool:
    """Return whether one or two are enough to doubt the cut of a small fleet.

    They are in the network that they were lost in, or tell by post alone, which by a satellite they
    would not, and nobody is back by the lost carrier, as on a line that was spared, or says that no
    anchor answered.
    """
    is_small = 0 < len(testimony) <= _SMALL_FLEET
    is_against = any(t.is_offline or t.is_back for t in testimony)
    if not is_small or is_against:
        return False
    dark_us = quantile([t.vantage.heard_us for t in testimony], 0.5)
    return all(claim.is_settled(dark_us) for claim in claims)


def _weigh_members(members: Iterable[VantagePresence], limits: Thresholds) -> dict[str, float]:
    """Return by line the part that each of its members has in its vote.

    Those who are here say nothing of the others of their line, who are silent.
    """
    lines: defaultdict[str, list[tuple[VantageRef, bool]]] = defaultdict(list)
    for vantage in members:
        lines[vantage.witness.prefix].append((vantage.witness, False))
    return {
        prefix: count_total(line, limits.nat_votes).votes / len(line)
        for prefix, line in lines.items()
    }


def _list_rerouted(testimony: Sequence[Testimony], limits: Thresholds, least: int) -> list[bool]:
    """List vantages whose return by another way alone shows that links worked.

    It lists none if many came back by the lost carrier.

    Args:
        least: Votes of those that evade a block soon, or tell of one, at least.
    """
    prompt = [t.is_rerouted and t.is_prompt for t in testimony]
    prompt_votes = _count(
        testimony, [t.is_online or p for t, p in zip(testimony, prompt, strict=True)]
    )
    has_evaded = prompt_votes >= max(least, _PROMPT_SHARE * len(testimony))
    told = [t.is_evading for t in testimony] if has_evaded else prompt
    told_votes = _count(testimony, told)
    others = [t.is_rejoined and not is_told for t, is_told in zip(testimony, told, strict=True)]
    is_many = told_votes >= limits.rerouted_share * (told_votes + _count(testimony, others))
    return told if is_many else [False] * len(testimony)


def _count(testimony: Iterable[Testimony], told: Sequence[bool], *, nat_votes: int = 1) -> float:
    if not any(told):
        return 0.0  # as of most kinds of testimony, and the vantages are many
    return count_hits((each.vantage for each in testimony), told, nat_votes=nat_votes).hits
