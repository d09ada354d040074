"""What a receipt does to the spool, whatever way it came."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from heliograph.v1 import intake_pb2
from heliograph_agent.spool import SpoolError
from heliograph_agent.uplink.door import DoorError, Reason

if TYPE_CHECKING:
    from heliograph_agent.uplink.session import Party

RETRY_S = 30  # when the collector says "retry" and not when
MAX_REASON = 64
SETTLED = {
    intake_pb2.STATUS_STORED: "stored",
    intake_pb2.STATUS_DUPLICATE: "duplicate",
    intake_pb2.STATUS_REJECTED: "rejected",
}


async def settle(party: "Party", sequence: int, receipt: intake_pb2.Receipt) -> bool:
    """Whether it settled the envelope; else it is to be sent again later. Raises DoorError."""
    status = SETTLED.get(receipt.status)
    if status is None:
        return False
    with spool_trouble():
        await party.spool.settle(sequence, status, receipt.reason[:MAX_REASON])
    if status == "rejected":
        party.rejected(sequence, receipt.reason[:MAX_REASON])
    return True


@contextmanager
def spool_trouble() -> Iterator[None]:
    """No way goes on without the spool; the agent can."""
    try:
        yield
    except SpoolError as error:
        raise DoorError(Reason.SPOOL) from error
