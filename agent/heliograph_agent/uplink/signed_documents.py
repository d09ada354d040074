"""Plans come signed, and only ever newer ones are taken; so do the charters that say by whom.

What is too old to be taken on its word widens nothing: what was taken before goes on.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from heliograph import codec, keys
from heliograph import trust_chain as c
from heliograph.plan import Plan
from heliograph.v1 import plan_pb2
from heliograph_agent.state import Collector

MAX_BYTES = 1_048_576  # of a signed plan with its charters
STALE_S = 180 * 86_400  # that an expired plan may go on measuring what it allowed


class PlanError(Exception):
    """A plan that is not the operator's, or an older one; str() is the reason."""


class Age(StrEnum):
    """Of the plan held."""

    FRESH = "fresh"
    STALE = "stale"  # goes on as far as it was agreed to
    OVER = "over"  # nobody knows any more whether it is wanted: nothing is run by it


@dataclass(frozen=True, slots=True)
class Held:
    """What is held when a plan comes: its version, and how it was signed."""

    signed: plan_pb2.SignedPlan
    version: int


def age_of(plan: Plan, now_s: int) -> Age:
    if now_s <= plan.expires_s:
        return Age.FRESH
    return Age.STALE if now_s <= plan.expires_s + STALE_S else Age.OVER


def followed(collector: Collector, signed: plan_pb2.SignedPlan) -> Collector:
    """The collector as the newest charter that came with the plan has it. Raises PlanError."""
    if not collector.charter:
        return collector
    try:
        body = c.follow(collector.charter, signed.charters)
        return collector if body == collector.charter else chartered(collector, body)
    except c.CharterError as error:
        raise PlanError(f"its charter {error}") from error


def chartered(collector: Collector, body: bytes) -> Collector:
    """With the keys that this charter names. Raises CharterError."""
    charter = c.decode(body)
    return replace(
        collector,
        charter=body,
        signing_key=charter.receipts.keys[0],
        sealing_key=charter.sealing_key,
    )


def open_plan(
    signed: plan_pb2.SignedPlan, collector: Collector, now_s: int, held: Held | None = None
) -> Plan:
    """The plan, if enough of the charter's keys signed it whole, it is newer than the one held, and
    neither it nor the charter has expired. Raises PlanError.

    Where the keys were replaced, the number of a plan by the old ones binds nobody: else who stole
    them could shut all further plans out by one with a high number (TUF's fast-forward attack).
    """
    if signed.ByteSize() > MAX_BYTES:
        raise PlanError("it is too large")
    if not _is_signed(signed, collector):
        raise PlanError("its signature is not the collector's")
    plan = _parsed(signed)
    if collector.charter and now_s > c.decode(collector.charter).expires_s:
        raise PlanError("its charter has expired, if this machine's clock is right")
    if now_s > plan.expires_s:
        raise PlanError("it has expired, if this machine's clock is right")
    above = held.version if held is not None and _is_signed(held.signed, collector) else 0
    if plan.version <= above:
        raise PlanError(f"its version {plan.version} is not above {above}")
    return plan


def read_plan(stored: bytes) -> Plan:
    """The plan in a file of our own, which was checked when it came. Raises PlanError."""
    from google.protobuf.message import DecodeError

    try:
        return _parsed(plan_pb2.SignedPlan.FromString(stored))
    except DecodeError as error:
        raise PlanError("this version cannot read it") from error


def _is_signed(signed: plan_pb2.SignedPlan, collector: Collector) -> bool:
    """Who joined before there were charters goes by the one key that it was told then."""
    if collector.charter:
        return c.plan_is_signed(c.decode(collector.charter), signed)
    return keys.verify(collector.signing_key, signed.signature, keys.PLAN, signed.plan)


def _parsed(signed: plan_pb2.SignedPlan) -> Plan:
    from google.protobuf.message import DecodeError

    try:
        return codec.plan_from_pb(plan_pb2.Plan.FromString(signed.plan))
    except (DecodeError, codec.CodecError) as error:
        raise PlanError("this version cannot read it") from error
