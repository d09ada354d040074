"""Mark the files of an enrolment without a connection: the request and the answer."""

REQUEST = b"heliograph request 1\n"  # before an EnrolRequest
RESPONSE = b"heliograph response 1\n"  # before a SignedEnrolment
