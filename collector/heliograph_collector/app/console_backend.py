"""Answers what the console asks: of the fleet, the door, the writer and the rules."""

import asyncio
import hashlib
import hmac
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph import voice_code
from heliograph.plan import Plan
from heliograph_collector.app.endpoint_file import read_password
from heliograph_collector.app.rejudge import Report, Wanted, rejudge
from heliograph_collector.config.settings import ConfigError, parse_yaml, split_endpoint
from heliograph_collector.console import backend as o
from heliograph_collector.control.agent_process import dialled
from heliograph_collector.errors import CannotServeError
from heliograph_collector.fleet import Fleet, KeysError, invite_line
from heliograph_collector.fleet.audit_log import Trail
from heliograph_collector.fleet.operators import Operators, OperatorsError
from heliograph_collector.fleet.plan_file import draft, render
from heliograph_collector.fleet.plans import issue, standing
from heliograph_collector.fleet.trust_chain import keep_charter, pin_of
from heliograph_collector.http.login_throttle import HERE
from heliograph_collector.ingest import voice_codes
from heliograph_collector.ingest.geo.lookup import origin
from heliograph_collector.judge.rules import RULES_VERSION
from heliograph_collector.store.store import Store, StoreError

if TYPE_CHECKING:
    from heliograph_collector.app.context import House
    from heliograph_collector.ingest.build import Intake

_DAY_US = 86_400_000_000
_REHEARSED = 50_000  # measurements: some minutes of one core at most
_REHEARSAL_S = 120.0
_EVERY_US = 5_000_000  # figures that change all the time are told anew so often
_ANYWHERE = {"0.0.0.0", "::", "*"}  # noqa: S104 - recognised here so as not to be handed out


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What of the running collector the console looks at."""

    house: "House"
    door: "Intake"
    store: Store
    problems: Callable[[], list[str]]
    behind: Callable[[], int | None]
    received_us: Callable[[], int | None]


class Bureau:
    """Raises CannotServeError. Its fleet is a connection of its own: what is written by it is seen
    by intake as what a command writes. Close it."""

    def __init__(self, sources: Sources) -> None:
        self._sources, self._house = sources, sources.house
        self._rehearsing = asyncio.Lock()
        self._fleet = Fleet(self._house.config.data)

    def close(self) -> None:
        self._fleet.close()

    def office(self) -> o.Office:
        """Raises CannotServeError."""
        house = self._house
        config = house.config
        try:
            operators = Operators(config.data, read_password(house.password))
        except OperatorsError as error:
            raise CannotServeError(f"{error}.") from error
        self._secret = hmac.digest(house.keyring.secret, b"heliograph console v1", "sha256")
        return o.Office(
            clock=house.clock,
            operators=operators,
            trail=Trail(config.data),
            secret=self._secret,
            place=self._place,
            fleet=self._fleet,
            services=house.services,
            services_place=str(config.services_file or "shipped with this edition"),
            here=self._here,
            invite=self._invite,
            read_plan=self._read_plan,
            write_plan=render,
            issue=self._issue,
            ingest=self._ingest,
            rehearse=self._rehearse,
            rules=str(RULES_VERSION),
            hear=self._hear,
            pulse=self._pulse,
        )

    def _now_s(self) -> int:
        return self._house.clock.wall_us() // 1_000_000

    def _place(self, way: str) -> str:
        """Of one /24 or /48, kept in memory only. Behind a proxy of this machine it is the proxy
        that says who calls; without one, who calls is this machine."""
        hops = [hop.strip() for hop in way.split(",") if hop.strip()]
        own = hops[-1:] in (["127.0.0.1"], ["::1"])
        if own and len(hops) == 1:
            return HERE
        found = origin(",".join(hops[:-1] if own else hops), self._house.config.trusted_proxies)
        text = _prefix(str(found)) if found else "-"
        return hashlib.sha256(self._secret + text.encode()).hexdigest()[:16]

    def _here(self) -> Mapping[bytes, o.Here]:
        door = self._sources.door
        return {
            visit.agent.id: o.Here(  # of several visits of one agent the newest comes last
                country=visit.vantage.country,
                region=visit.vantage.region,
                access=visit.vantage.access,
                link=visit.link.value,
                queued=visit.queued,
                leave=door.leave_of(visit.agent.id),
            )
            for visit in door.presence
        }

    def _invite(self, role: str, uses: int, life_s: int) -> str:
        config, fleet, now_s = self._house.config, self._fleet, self._now_s()
        grpc = dialled(split_endpoint(config.grpc)[0], self._sources.door.port)
        where = config.endpoint or grpc
        bound = split_endpoint(config.endpoint or config.grpc)[0]
        if bound in _ANYWHERE:
            raise o.NotSoError(
                f"Agents cannot dial {config.grpc}: set the key endpoint to what they dial, and "
                "restart `serve`."
            )
        token = fleet.invite(role=role, uses=uses, now_s=now_s, expires_s=now_s + life_s)
        keep_charter(fleet, config.data, self._house.keyring, now_s)
        found = standing(fleet)
        entrances = () if found is None else found[0].entrances
        pin = self._house.keyring.pin
        return invite_line(where, pin, token, entrances, charter=pin_of(fleet))

    def _read_plan(self, text: str, name: str) -> Plan:
        try:
            wanted = draft(parse_yaml(text.encode(), Path(name)), self._house.services)
        except ConfigError as error:
            raise o.NotSoError(str(error)) from error
        found = standing(self._fleet)
        if found is None:
            return wanted
        kept = found[0]  # what comes from the collector's configuration stays
        return replace(wanted, entrances=kept.entrances, beacon_zone=kept.beacon_zone)

    def _issue(self, plan: Plan) -> Plan:
        try:
            return issue(self._fleet, self._house.keyring.signing, plan, self._now_s())
        except KeysError as error:
            raise o.NotSoError(str(error)) from error

    def _ingest(self) -> o.Ingest:
        sources, config = self._sources, self._house.config
        envelopes, measurements = self._counted()
        return o.Ingest(
            position=self._house.journal.position,
            behind=sources.behind(),
            received_us=sources.received_us(),
            free_bytes=shutil.disk_usage(config.data).free,
            problems=sources.problems(),
            envelopes=envelopes,
            measurements=measurements,
        )

    def _counted(self) -> tuple[list[tuple[str, str, str, int]], dict[str, int]]:
        envelopes, measurements = [], {}
        for family in self._house.registry.collect():
            for sample in family.samples:
                said = sample.labels
                if sample.name == "heliograph_envelopes_total":
                    how = (said["carrier"], said["status"], said["reason"])
                    envelopes.append((*how, int(sample.value)))
                elif sample.name == "heliograph_measurements_total":
                    measurements[said["outcome"]] = int(sample.value)
        return envelopes, measurements

    async def _rehearse(self) -> o.Rehearsal:
        if self._rehearsing.locked():
            raise o.NotSoError("The past is being judged already: wait for that to end.")
        async with self._rehearsing:
            until_us = self._house.clock.wall_us()
            wanted = Wanted(since_us=until_us - _DAY_US, until_us=until_us)
            try:
                async with asyncio.timeout(_REHEARSAL_S):
                    report = await rejudge(
                        self._sources.store,
                        self._house.services.services,
                        wanted,
                        write=False,
                        most=_REHEARSED,
                    )
            except TimeoutError:
                raise o.NotSoError(
                    f"A day could not be judged in {_REHEARSAL_S:g} s: stop `serve`, and say "
                    "`heliograph-collector rejudge --dry-run`."
                ) from None
            except StoreError as error:
                raise o.NotSoError(f"The store does not answer: {error}") from error
        return _rehearsal(wanted, report)

    def _hear(self, text: str, keep: bool) -> o.Spoken:
        data, clock = self._house.config.data, self._house.clock
        try:
            agent, report = voice_codes.prove(text, data, self._fleet, clock)
            if keep:
                voice_codes.keep(agent, report, self._fleet, clock)
        except voice_codes.UnprovenError as error:
            sentence = str(error)
            raise o.NotSoError(f"{sentence[0].upper()}{sentence[1:]}.") from error
        return o.Spoken(
            agent=agent.id.hex(),
            made=voice_codes.made(report),
            lines=tuple(voice_code.summary(report)),
            known=voice_codes.was_kept(agent, report, self._fleet),
        )

    def _pulse(self) -> Mapping[str, object]:
        door, clock = self._sources.door, self._house.clock
        links = sorted(door.presence.links().items())
        fleet = (self._fleet.changes(), self._house.fleet.changes(), door.roll.enrolled())
        return {
            "fleet": (fleet, len(door.presence), links),
            "health": (tuple(self._sources.problems()), clock.monotonic_us() // _EVERY_US),
        }


def _rehearsal(wanted: Wanted, report: Report) -> o.Rehearsal:
    return o.Rehearsal(
        since_us=wanted.since_us,
        until_us=wanted.until_us,
        looked_at=report.looked_at,
        changed=report.changed,
        whole=report.whole,
        moves=[
            o.Moved(
                country=move.country,
                service=move.service,
                before=move.before,
                after=move.after,
                state_before=move.state_before,
                state_after=move.state_after,
                count=count,
            )
            for move, count in report.moves.most_common(200)
        ],
    )


def _prefix(address: str) -> str:
    return str(ip_network(f"{address}/{48 if ':' in address else 24}", strict=False))
