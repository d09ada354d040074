"""Backend of the console: data from the fleet, ingest, the writer and the rules."""

import asyncio
import hashlib
import hmac
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

from heliograph import voice_code
from heliograph.plan import Plan
from heliograph.units import DAY_US
from heliograph.yaml_document import YamlError, parse_yaml
from heliograph_collector.app.endpoint_file import read_password
from heliograph_collector.app.rejudge import RejudgeReport, RejudgeScope, rejudge
from heliograph_collector.config.plan_file import parse_plan, render_plan
from heliograph_collector.config.settings import split_endpoint
from heliograph_collector.console import backend as console
from heliograph_collector.control.agent_process import format_dial_address
from heliograph_collector.errors import CannotServeError
from heliograph_collector.fleet import Fleet, KeysError, format_invite
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operators import Operators, OperatorsError
from heliograph_collector.fleet.plans import issue_plan, load_current_plan
from heliograph_collector.fleet.trust_chain import ensure_charter, load_charter_digest
from heliograph_collector.http.rate_limit import LOCAL_ORIGIN
from heliograph_collector.ingest import voice_codes
from heliograph_collector.ingest.geo.lookup import find_origin
from heliograph_collector.judge.rules import RULES_VERSION
from heliograph_collector.store.store import Store, StoreError

if TYPE_CHECKING:
    from heliograph_collector.app.context import AppContext
    from heliograph_collector.ingest.build import IngestServices

_MAX_DRY_RUN = 50_000  # measurements: some minutes of one core at most
_DRY_RUN_TIMEOUT_S = 120.0
_PULSE_US = 5_000_000  # interval at which constantly changing figures are published
_WILDCARD_HOSTS = {"0.0.0.0", "::", "*"}  # noqa: S104 - compared, to keep them out of invites


@dataclass(frozen=True, kw_only=True)
class ConsoleSources:
    """The parts of the running collector that the console reads."""

    context: "AppContext"
    ingest: "IngestServices"
    store: Store
    list_problems: Callable[[], list[str]]
    read_lag: Callable[[], int | None]
    last_received_us: Callable[[], int | None]


class LiveConsoleBackend:
    """The console's data and actions; close it.

    It has its own connection to the fleet database, so ingest sees its changes as it sees those of
    a command. Raises CannotServeError.
    """

    def __init__(self, sources: ConsoleSources) -> None:
        self._sources = sources
        self._context = sources.context
        self._dry_run_lock = asyncio.Lock()
        self._fleet = Fleet(self._context.config.data)

    def close(self) -> None:
        self._fleet.close()

    def build_backend(self) -> console.ConsoleBackend:
        """Build the backend. Raises CannotServeError."""
        context = self._context
        config = context.config
        try:
            operators = Operators(config.data, read_password(context.password_file))
        except OperatorsError as error:
            raise CannotServeError(f"{error}.") from error
        self._secret = hmac.digest(context.keyring.secret, b"heliograph console v1", "sha256")
        return console.ConsoleBackend(
            clock=context.clock,
            operators=operators,
            trail=AuditLog(config.data),
            secret=self._secret,
            name_origin=self._name_origin,
            fleet=self._fleet,
            services=context.services,
            services_source=str(config.services_file or "shipped with this edition"),
            list_live_agents=self._list_live_agents,
            create_invite=self._create_invite,
            read_plan=self._read_plan,
            write_plan=render_plan,
            issue_plan=self._issue_plan,
            read_ingest_status=self._read_ingest_status,
            dry_run=self._dry_run,
            rules_version=str(RULES_VERSION),
            prove_voice_code=self._prove_voice_code,
            read_change_markers=self._read_change_markers,
        )

    def _now_s(self) -> int:
        return self._context.clock.wall_us() // 1_000_000

    def _name_origin(self, forwarded_for: str) -> str:
        """Return an opaque name of the client's /24 or /48, kept in memory only.

        A proxy on this machine names its client. Without such a proxy, the client is this machine.
        """
        hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
        is_own_proxy = hops[-1:] in (["127.0.0.1"], ["::1"])
        if is_own_proxy and len(hops) == 1:
            return LOCAL_ORIGIN
        caller = find_origin(
            ",".join(hops[:-1] if is_own_proxy else hops), self._context.config.trusted_proxies
        )
        prefix = _network_prefix(str(caller)) if caller else "-"
        return hashlib.sha256(self._secret + prefix.encode()).hexdigest()[:16]

    def _list_live_agents(self) -> Mapping[bytes, console.LiveAgent]:
        ingest = self._sources.ingest
        return {
            # A later connection of the same agent replaces an earlier one.
            connection.agent.id: console.LiveAgent(
                country=connection.vantage.country,
                region=connection.vantage.region,
                access=connection.vantage.access,
                link=connection.link.value,
                queued_envelopes=connection.queued_count,
                remaining_batches=ingest.remaining_batches(connection.agent.id),
            )
            for connection in ingest.connections
        }

    def _create_invite(self, role: str, uses: int, lifetime_s: int) -> str:
        config = self._context.config
        fleet = self._fleet
        now_s = self._now_s()
        grpc = format_dial_address(split_endpoint(config.grpc)[0], self._sources.ingest.port)
        endpoint = config.endpoint or grpc
        bound_host = split_endpoint(config.endpoint or config.grpc)[0]
        if bound_host in _WILDCARD_HOSTS:
            raise console.InvalidInputError(
                f"Agents cannot dial {config.grpc}: set the key endpoint to what they dial, and "
                "restart `serve`."
            )
        token = fleet.create_invite(role=role, uses=uses, now_s=now_s, expires_s=now_s + lifetime_s)
        ensure_charter(fleet, config.data, self._context.keyring, now_s)
        current_plan = load_current_plan(fleet)
        entrances = () if current_plan is None else current_plan[0].entrances
        pin = self._context.keyring.pin
        return format_invite(endpoint, pin, token, entrances, charter=load_charter_digest(fleet))

    def _read_plan(self, yaml_text: str, name: str) -> Plan:
        try:
            new_plan = parse_plan(parse_yaml(yaml_text.encode(), name), self._context.services)
        except YamlError as error:
            raise console.InvalidInputError(str(error)) from error
        current_plan = load_current_plan(self._fleet)
        if current_plan is None:
            return new_plan
        active_plan = current_plan[0]  # fields of the collector's configuration stay
        return replace(
            new_plan, entrances=active_plan.entrances, beacon_zone=active_plan.beacon_zone
        )

    def _issue_plan(self, plan: Plan) -> Plan:
        try:
            return issue_plan(self._fleet, self._context.keyring.signing, plan, self._now_s())
        except KeysError as error:
            raise console.InvalidInputError(str(error)) from error

    def _read_ingest_status(self) -> console.IngestStatus:
        sources = self._sources
        config = self._context.config
        envelopes, measurements = self._count_intake()
        return console.IngestStatus(
            position=self._context.journal.position,
            lag_entries=sources.read_lag(),
            received_us=sources.last_received_us(),
            free_bytes=shutil.disk_usage(config.data).free,
            problems=sources.list_problems(),
            envelopes=envelopes,
            measurements=measurements,
        )

    def _count_intake(self) -> tuple[list[tuple[str, str, str, int]], dict[str, int]]:
        envelopes = []
        measurements = {}
        for family in self._context.registry.collect():
            for sample in family.samples:
                sample_labels = sample.labels
                if sample.name == "heliograph_envelopes_total":
                    envelope_labels = (
                        sample_labels["carrier"],
                        sample_labels["status"],
                        sample_labels["reason"],
                    )
                    envelopes.append((*envelope_labels, int(sample.value)))
                elif sample.name == "heliograph_measurements_total":
                    measurements[sample_labels["outcome"]] = int(sample.value)
        return envelopes, measurements

    async def _dry_run(self) -> console.DryRun:
        if self._dry_run_lock.locked():
            raise console.InvalidInputError(
                "The past is being judged already: wait for that to end."
            )
        async with self._dry_run_lock:
            until_us = self._context.clock.wall_us()
            rejudge_scope = RejudgeScope(since_us=until_us - DAY_US, until_us=until_us)
            try:
                async with asyncio.timeout(_DRY_RUN_TIMEOUT_S):
                    report = await rejudge(
                        self._sources.store,
                        self._context.services.services,
                        rejudge_scope,
                        is_written=False,
                        max_judged=_MAX_DRY_RUN,
                    )
            except TimeoutError:
                raise console.InvalidInputError(
                    f"A day could not be judged in {_DRY_RUN_TIMEOUT_S:g} s: stop `serve`, and say "
                    "`heliograph-collector rejudge --dry-run`."
                ) from None
            except StoreError as error:
                raise console.InvalidInputError(f"The store does not answer: {error}") from error
        return _build_dry_run(rejudge_scope, report)

    def _prove_voice_code(self, voice_text: str, is_kept: bool) -> console.VoiceReport:
        data = self._context.config.data
        clock = self._context.clock
        try:
            agent, report = voice_codes.verify_code(voice_text, data, self._fleet, clock)
            if is_kept:
                voice_codes.store_code(agent, report, self._fleet, clock)
        except voice_codes.UnprovenError as error:
            sentence = str(error)
            raise console.InvalidInputError(f"{sentence[0].upper()}{sentence[1:]}.") from error
        return console.VoiceReport(
            agent=agent.id.hex(),
            created=voice_codes.format_made_at(report),
            lines=tuple(voice_code.summarize_report(report)),
            is_stored=voice_codes.is_stored(agent, report, self._fleet),
        )

    def _read_change_markers(self) -> Mapping[str, object]:
        ingest = self._sources.ingest
        clock = self._context.clock
        links = sorted(ingest.connections.count_links().items())
        fleet = (
            self._fleet.data_version(),
            self._context.fleet.data_version(),
            ingest.directory.count_enrolled(),
        )
        return {
            "fleet": (fleet, len(ingest.connections), links),
            "health": (tuple(self._sources.list_problems()), clock.monotonic_us() // _PULSE_US),
        }


def _build_dry_run(rejudge_scope: RejudgeScope, report: RejudgeReport) -> console.DryRun:
    return console.DryRun(
        since_us=rejudge_scope.since_us,
        until_us=rejudge_scope.until_us,
        judged_count=report.judged_count,
        changed_count=report.changed_count,
        is_complete=report.is_complete,
        changes=[
            console.VerdictChangeCount(
                country=change.country,
                service=change.service,
                before=change.before,
                after=change.after,
                state_before=change.state_before,
                state_after=change.state_after,
                count=count,
            )
            for change, count in report.changes.most_common(200)
        ],
    )


def _network_prefix(address: str) -> str:
    return str(ip_network(f"{address}/{48 if ':' in address else 24}", strict=False))
