"""What a spool can say when it cannot."""


class SpoolError(Exception):
    """The spool did not do it; str() is a sentence with the cure. What was committed is safe."""


class SpoolFull(SpoolError):  # noqa: N818 - named as it is said
    """There is no room, on the disk or within the bound, and nothing of less worth left to thin."""


class BoundError(Exception):
    """Inside a transaction: what is left below the bound is kept for better results than this."""


class SealError(Exception):
    """Inside a transaction: the caller's seal failed, not the disk under the spool."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
