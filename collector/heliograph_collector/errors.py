"""The exceptions that say why a collector does not start."""


class CannotServeError(Exception):
    """Something in the way that its operator can move; the text is a sentence."""


class PortTakenError(Exception):
    """Another process listens there, or the address is not this machine's; str() is HOST:PORT."""
