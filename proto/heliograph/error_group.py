"""Find the errors inside exception groups, which task groups raise."""

from collections.abc import Iterator


def flatten_errors(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of a group and of the groups in it; any other error alone."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from flatten_errors(inner)
    else:
        yield error


def find_first_error(error: BaseException) -> BaseException:
    return next(flatten_errors(error))
