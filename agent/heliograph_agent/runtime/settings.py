"""All that an agent needs to know before it starts, read from its state directory."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from heliograph.observation import Access
from heliograph.plan import Plan
from heliograph_agent.config import Config, ConfigError
from heliograph_agent.consent.consent import Consent, narrow, read_consent
from heliograph_agent.consent.opt_out import without
from heliograph_agent.runtime.vantage import Declared
from heliograph_agent.state import CONSENT, PLAN, Collector, State, StateError, not_joined
from heliograph_agent.uplink.signed_documents import PlanError, read_plan

MOBILE_BYTES = 300_000_000  # a month, unless limits.bytes_per_month says otherwise
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What was joined, agreed to and configured."""

    state: State
    config: Config
    collector: Collector
    consent: Consent
    plan: Plan  # as the collector signed it

    def with_plan(self, plan: Plan) -> "Setting":
        return replace(self, plan=plan)

    def with_consent(self) -> "Setting":
        """What was agreed to meanwhile. Raises StateError."""
        return replace(self, consent=_consent(self.state))

    def effective(self) -> tuple[Plan, tuple[str, ...]]:
        """What is run: the agreed part of the plan for this role, with the volunteer's own services
        and limit.

        And what waits for a yes. Raises ConfigError.
        """
        whole = without(self.plan.of_role(self.collector.role), self.config.without)
        plan, waiting = narrow(whole, self.consent)
        if self.config.services_file:
            plan = _with_services(plan, Path(self.config.services_file))
            plan = without(plan, self.config.without)
        own = self.config.bytes_per_month or self._unsaid_limit()
        least = min(own, plan.limits.bytes_per_month)
        return replace(plan, limits=replace(plan.limits, bytes_per_month=least)), waiting

    def _unsaid_limit(self) -> int:
        """Mobile bytes are dear: a volunteer who said nothing of them is held to few."""
        mobile = self.declared().access is Access.MOBILE
        return MOBILE_BYTES if mobile else self.plan.limits.bytes_per_month

    def declared(self) -> Declared:
        """Of the place, by the configuration or else at the join."""
        config, consent = self.config, self.consent
        return Declared(
            country=config.country or consent.country,
            region=config.region or consent.region,
            access=(consent.access if config.access is None else config.access) or Access.UNKNOWN,
        )

    def boot(self) -> str:
        """Names this run of the monotonic clock, and says nothing to anybody else."""
        try:
            machine = BOOT_ID.read_bytes()
        except OSError:
            machine = secrets.token_bytes(16)
        return hmac.digest(self.state.private_key() or b"", machine, hashlib.sha256)[:8].hex()


def read_setting(state: State, config: Config) -> Setting:
    """Raises StateError, a sentence with its cure."""
    collector, stored = state.collector(), state.read(PLAN)
    if collector is None or stored is None or state.private_key() is None:
        raise not_joined(state)
    try:
        plan = read_plan(stored)
    except PlanError as error:
        raise StateError(
            f"{state.path(PLAN)} is damaged ({error}): run `heliograph-agent leave`, then join "
            "again."
        ) from error
    return Setting(
        state=state, config=config, collector=collector, consent=_consent(state), plan=plan
    )


def _consent(state: State) -> Consent:
    consent = read_consent(state.read_json(CONSENT))
    if consent is None:
        raise StateError(
            "You have not agreed to what this agent runs: run `heliograph-agent join INVITE` again "
            "and answer its question."
        )
    return consent


def _with_services(plan: Plan, file: Path) -> Plan:
    from heliograph.services import Services, ServicesError, load, merged

    try:
        theirs = load(file)
    except ServicesError as error:
        raise ConfigError(str(error)) from error
    both = merged(Services(version=plan.services_version, services=plan.services), theirs)
    return replace(plan, services=both.services, services_version=both.version)
