"""The entry point of `heliograph-collector`, also by `python -m`."""

import sys
from importlib.abc import MetaPathFinder

# Both are libraries that others use where they are installed, and that nothing here uses. pyarrow
# asks of each list whether it is a data frame, and would import pandas for that question: 46 MB and
# 0.3 s of CPU. It imports numpy as soon as it is imported itself: 12 MB and 0.08 s of CPU.
_UNUSED = frozenset({"numpy", "pandas"})


class _WithoutUnused(MetaPathFinder):
    """Let the libraries that nothing here uses not be found."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Return that others are to be asked. Raises ModuleNotFoundError for unused libraries."""
        del path, target
        if name in _UNUSED:
            raise ModuleNotFoundError(f"{name} is not used here", name=name)


def main() -> int:
    """Run the command line of the collector and return its exit status."""
    sys.meta_path.insert(0, _WithoutUnused())
    from heliograph_collector import cli

    return cli.main(sys.argv[1:], is_program=True)


if __name__ == "__main__":
    sys.exit(main())
