"""The exception that explains why a collector does not start, and its sentences."""

_TAKEN_PORTS = {
    "grpc": (
        "{address} cannot be listened on: it is taken, or no address of this machine, or a port "
        "below 1024 without the right to it. Free it, or say --grpc HOST:PORT."
    ),
    "http": (
        "{address} cannot be listened on ({reason}): "
        "stop what listens there, or say --http HOST:PORT."
    ),
    "post": "{address} cannot be listened on: free it, or say --post HOST:PORT.",
    "echo": "{address} cannot be listened on: free it, or say --echo HOST:PORT.",
    "dns": (
        "{address} cannot be listened on (ports below 1024 need a right of their own): "
        "free it, or correct dns.listen."
    ),
}


class CannotServeError(Exception):
    """The collector cannot start; its operator can remove the cause.

    The text is a sentence for the operator.
    """


def explain_taken_port(listener: str, address: str, reason: str | None = "") -> CannotServeError:
    """Explain that a listener (grpc, http, post, echo or dns) cannot have its address."""
    return CannotServeError(_TAKEN_PORTS[listener].format(address=address, reason=reason))


def explain_unusable_store(error: Exception) -> CannotServeError:
    return CannotServeError(f"{error} Correct store.url.")
