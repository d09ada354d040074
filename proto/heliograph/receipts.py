"""Name receipts' statuses, for files and HTTP, and the reason that agents act on."""

from heliograph.v1 import intake_pb2 as pb

STATUS_NAMES = {  # of final receipts, after which an agent drops the envelope
    pb.STATUS_STORED: "stored",
    pb.STATUS_DUPLICATE: "duplicate",
    pb.STATUS_REJECTED: "rejected",
}
HTTP_STATUSES = {
    pb.STATUS_STORED: 200,
    pb.STATUS_DUPLICATE: 200,
    pb.STATUS_REJECTED: 422,
    pb.STATUS_RETRY: 503,
}
ACCEPTED_STATUSES = (pb.STATUS_STORED, pb.STATUS_DUPLICATE)
CLONED = "cloned"  # the reason of receipts to an agent whose key two machines use
