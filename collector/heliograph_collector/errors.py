"""The one exception that says why a collector does not start."""


class CannotServeError(Exception):
    """Something in the way that its operator can move; the text is a sentence."""
