"""Read an agent's settings from its state directory, and derive the plan to run."""

import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from heliograph.observation import Access
from heliograph.plan import Plan
from heliograph.translation import translate as _
from heliograph_agent.config import AgentConfigError, Config
from heliograph_agent.consent import (
    OPERATORS_CONSENT,
    Consent,
    exclude_tests,
    narrow_plan,
    read_consent,
)
from heliograph_agent.platform.power import read_boot_id
from heliograph_agent.runtime.vantage import DeclaredVantage, declare_vantage
from heliograph_agent.state import (
    CONSENT,
    Collector,
    State,
    StateError,
    not_joined_error,
)
from heliograph_agent.uplink.signed_documents import read_stored_plan

MOBILE_BYTES = 300_000_000  # a month by default


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Hold the enrollment, the consent and the configuration."""

    state: State
    config: Config
    collector: Collector
    consent: Consent
    plan: Plan  # as the collector signed it
    is_agreed: bool = False  # by the operator, who runs this agent; the file is not asked

    def effective_plan(self) -> tuple[Plan, tuple[str, ...]]:
        """Return the plan to run, and the units that wait for consent.

        It is the agreed part of the plan for this role, with the volunteer's own services and byte
        limit. Raises AgentConfigError.
        """
        allowed_plan = exclude_tests(self.plan.for_role(self.collector.role), self.config.without)
        plan, waiting = narrow_plan(allowed_plan, self.consent)
        if self.config.services_file:
            plan = _add_services(plan, Path(self.config.services_file))
            plan = exclude_tests(plan, self.config.without)
        return limit_bytes(plan, self.config, self.declared_vantage().access), waiting

    def declared_vantage(self) -> DeclaredVantage:
        return declare_vantage(self.config, self.consent)

    def boot_id(self) -> str:
        """Return an identifier of this boot that has no meaning to anyone else."""
        machine = read_boot_id() or secrets.token_bytes(16)
        return hmac.digest(self.state.private_key() or b"", machine, hashlib.sha256)[:8].hex()


def limit_bytes(plan: Plan, config: Config, access: Access) -> Plan:
    """Return the plan within this agent's own limit; mobile networks are expensive."""
    default_limit = MOBILE_BYTES if access is Access.MOBILE else plan.limits.bytes_per_month
    byte_limit = min(config.bytes_per_month or default_limit, plan.limits.bytes_per_month)
    return replace(plan, limits=replace(plan.limits, bytes_per_month=byte_limit))


def read_settings(state: State, config: Config, *, is_agreed: bool = False) -> AgentSettings:
    """Read all settings. Raises StateError, whose text names the cure."""
    collector = state.joined_collector()
    if state.private_key() is None:
        raise not_joined_error(state)
    plan = read_stored_plan(state)
    return AgentSettings(
        state=state,
        config=config,
        collector=collector,
        consent=load_consent(state, is_agreed=is_agreed),
        plan=plan,
        is_agreed=is_agreed,
    )


def load_consent(state: State, *, is_agreed: bool) -> Consent:
    """Return the consent; if the operator agreed, the file gives only the place.

    A file of an earlier version, which names targets, is rewritten.
    """
    stored = state.read_json(CONSENT)
    consent = read_consent(stored)
    if stored is not None and consent is not None and stored["scope"] != consent.to_json()["scope"]:
        with suppress(StateError):  # a full or read-only disk
            state.write_json(CONSENT, consent.to_json())
    if is_agreed:
        declared = consent or OPERATORS_CONSENT
        return replace(declared, scope=OPERATORS_CONSENT.scope, tier=OPERATORS_CONSENT.tier)
    if consent is None:
        raise StateError(
            _(
                "You have not agreed to what this agent runs: run `heliograph-agent join INVITE` "
                "again and answer its question."
            )
        )
    return consent


def _add_services(plan: Plan, file: Path) -> Plan:
    from heliograph.services import Services, load_services, merge_services
    from heliograph.yaml_document import YamlError

    try:
        own_services = load_services(file)
    except YamlError as error:
        raise AgentConfigError(str(error)) from error
    planned = Services(version=plan.services_version, services=plan.services)
    merged = merge_services(planned, own_services)
    return replace(plan, services=merged.services, services_version=merged.version)
