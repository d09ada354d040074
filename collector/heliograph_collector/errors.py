"""Exceptions that explain why a collector does not start."""


class CannotServeError(Exception):
    """The collector cannot start; its operator can remove the cause.

    The text is a sentence for the operator.
    """


class PortTakenError(Exception):
    """Another process uses the address, or the address is not local.

    The text is HOST:PORT.
    """
