"""Verify signed plans and follow trust roots, and accept only newer documents.

An expired plan is refused, and the agent keeps the previous one.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from heliograph import codec, keys
from heliograph import trust_chain as c
from heliograph.plan import Plan
from heliograph.timestamps import format_day
from heliograph.translation import translate as _
from heliograph.units import SECOND_US
from heliograph.v1 import plan_pb2
from heliograph_agent.state import PLAN, Collector, State, StateError, not_joined_error

MAX_BYTES = 1_048_576  # of a signed plan with its trust roots
STALE_S = 180 * 86_400  # an expired plan is run for so long
MAX_SHOWN_S = 2**37  # in the year 6325; dates beyond 9999 cannot be formatted
UNREADABLE = "this version cannot read it"


class PlanError(Exception):
    """Report a plan that is not the operator's or not newer; str() is the reason."""


class PlanAge(StrEnum):
    """Classify the age of the stored plan."""

    FRESH = "fresh"
    STALE = "stale"  # is still run as far as it was agreed to
    EXPIRED = "expired"  # too old to be run


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """Hold the stored plan with its signatures, and its version."""

    signed: plan_pb2.SignedPlan
    version: int


def classify_age(plan: Plan, now_s: int) -> PlanAge:
    if now_s <= plan.expires_s:
        return PlanAge.FRESH
    return PlanAge.STALE if now_s <= plan.expires_s + STALE_S else PlanAge.EXPIRED


def format_expiry(at_s: int) -> str:
    """Format the day of an expiry, which an operator may set as far off as he likes."""
    return format_day(min(at_s, MAX_SHOWN_S) * SECOND_US)


def follow_charters(collector: Collector, signed: plan_pb2.SignedPlan) -> Collector:
    """Apply the newest trust root that came with the plan. Raises PlanError."""
    if not collector.charter:
        return collector
    try:
        body = c.follow_chain(collector.charter, signed.charters)
        return collector if body == collector.charter else apply_charter(collector, body)
    except c.TrustRootError as error:
        raise PlanError(f"its charter {error}") from error


def apply_charter(collector: Collector, body: bytes) -> Collector:
    """Return the collector with the keys of this trust root. Raises TrustRootError."""
    charter = c.decode_trust_root(body)
    return replace(
        collector,
        charter=body,
        signing_key=charter.receipts.keys[0],
        sealing_key=charter.sealing_key,
    )


def open_plan(
    signed: plan_pb2.SignedPlan, collector: Collector, now_s: int, stored: StoredPlan | None = None
) -> Plan:
    """Verify a plan: enough signatures, a newer version, and not expired.

    Where the keys were replaced, the version of a plan signed by the old ones is ignored. A thief
    could otherwise block all later plans by a high version (TUF's fast-forward attack). Raises
    PlanError.
    """
    if signed.ByteSize() > MAX_BYTES:
        raise PlanError("it is too large")
    if not _is_signed(signed, collector):
        raise PlanError("its signature is not the collector's")
    plan = _parse_plan(signed)
    if collector.charter and now_s > c.decode_trust_root(collector.charter).expires_s:
        raise PlanError("its charter has expired, if this machine's clock is right")
    if now_s > plan.expires_s:
        raise PlanError("it has expired, if this machine's clock is right")
    stored_version = (
        stored.version if stored is not None and _is_signed(stored.signed, collector) else 0
    )
    if plan.version <= stored_version:
        raise PlanError(f"its version {plan.version} is not above {stored_version}")
    return plan


def read_stored_plan(state: State) -> Plan:
    """Read the plan from the agent's file, verified earlier. Raises StateError."""
    from google.protobuf.message import DecodeError

    stored = state.read(PLAN)
    if stored is None:
        raise not_joined_error(state)
    try:
        return _parse_plan(plan_pb2.SignedPlan.FromString(stored))
    except (DecodeError, PlanError) as error:
        raise StateError(
            _("{file} is damaged ({error}): run `heliograph-agent leave`, then join again.").format(
                file=state.path(PLAN), error=UNREADABLE
            )
        ) from error


def _is_signed(signed: plan_pb2.SignedPlan, collector: Collector) -> bool:
    """Verify the signatures by the trust root, or by the one key without a root."""
    if collector.charter:
        return c.plan_is_signed(c.decode_trust_root(collector.charter), signed)
    return keys.verify(collector.signing_key, signed.signature, keys.PLAN, signed.plan)


def _parse_plan(signed: plan_pb2.SignedPlan) -> Plan:
    from google.protobuf.message import DecodeError

    try:
        return codec.plan_from_pb(plan_pb2.Plan.FromString(signed.plan))
    except (DecodeError, codec.CodecError) as error:
        raise PlanError(UNREADABLE) from error
