"""Exceptions that several stages raise."""


class PortTakenError(Exception):
    """Another process uses the address, or the address is not local.

    The text is HOST:PORT.
    """
