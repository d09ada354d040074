"""Mark the files by which an agent enrolls without a connection: its request, and the answer."""

REQUEST = b"heliograph request 1\n"  # before an EnrolRequest
RESPONSE = b"heliograph response 1\n"  # before a SignedEnrolment
