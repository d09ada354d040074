"""Ask a control to repeat tasks of its plan at addresses that vantages met.

An order names tasks and endpoints of the plan, and addresses. It has no room for a name, a port or
a path, so a control can be asked for nothing that its signed plan does not contain.
"""

from dataclasses import dataclass

from heliograph import keys
from heliograph.codec import CodecError
from heliograph.codec.checks import check_count, check_text
from heliograph.v1 import intake_pb2 as pb

MAX_VISITS = 32  # of one order: 4 observations for each are a quarter of a measurement's 512
MAX_AGE_S = 600  # assumed; an older order is no longer worth a visit, or is played again


class VisitOrderError(ValueError):
    """Report an order that is not followed; str() is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Name one endpoint of a task of the plan, and the address to visit it at."""

    experiment: str
    service: str = ""  # "" when the target stands alone
    target: str = ""  # "" when the service is the target
    endpoint: str = ""  # id in the service; "" when the target stands alone
    address: str


def sign_order(
    visits: tuple[Visit, ...], agent: bytes, signer: keys.SigningKey, now_s: int
) -> pb.SignedVisitOrder:
    """Sign an order for one control; raises ValueError beyond MAX_VISITS."""
    if len(visits) > MAX_VISITS:
        raise ValueError(f"an order holds at most {MAX_VISITS} visits")
    messages = [
        pb.Visit(
            experiment=visit.experiment,
            service=visit.service,
            target=visit.target,
            endpoint=visit.endpoint,
            address=visit.address,
        )
        for visit in visits
    ]
    order = pb.VisitOrder(agent=agent, issued_s=now_s, visits=messages).SerializeToString()
    return pb.SignedVisitOrder(order=order, signature=signer.sign(keys.VISITS, order))


def open_order(
    signed: pb.SignedVisitOrder, signing_key: bytes, agent: bytes, now_s: int
) -> tuple[Visit, ...]:
    """Verify an order for this agent. Raises VisitOrderError."""
    from google.protobuf.message import DecodeError

    if not keys.verify(signing_key, signed.signature, keys.VISITS, signed.order):
        raise VisitOrderError("its signature is not the collector's")
    try:
        order = pb.VisitOrder.FromString(signed.order)
        check_count("visits", order.visits, MAX_VISITS)
        visits = tuple(_visit_from_pb(visit) for visit in order.visits)
    except (DecodeError, CodecError) as error:
        raise VisitOrderError("this version cannot read it") from error
    if order.agent != agent:
        raise VisitOrderError("it is for another agent")
    if abs(now_s - order.issued_s) > MAX_AGE_S:
        raise VisitOrderError("it is not of this hour, if this machine's clock is right")
    return visits


def _visit_from_pb(visit: pb.Visit) -> Visit:
    return Visit(
        experiment=check_text("visit.experiment", visit.experiment),
        service=check_text("visit.service", visit.service),
        target=check_text("visit.target", visit.target),
        endpoint=check_text("visit.endpoint", visit.endpoint),
        address=check_text("visit.address", visit.address),
    )
