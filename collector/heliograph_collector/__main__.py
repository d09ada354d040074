"""The entry point of `heliograph-collector`, also by `python -m`."""

import sys
from importlib.abc import MetaPathFinder


class _WithoutPandas(MetaPathFinder):
    """Let pandas not be found: pyarrow asks of each list whether it is a data frame.

    It would import it for that question, which costs 46 MB and 0.3 s of CPU; nothing here uses it.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Return that others are to be asked. Raises ModuleNotFoundError for pandas."""
        del path, target
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not used here", name=name)


def main() -> int:
    """Run the command line of the collector and return its exit status."""
    sys.meta_path.insert(0, _WithoutPandas())
    from heliograph_collector import cli

    return cli.main(sys.argv[1:], is_program=True)


if __name__ == "__main__":
    sys.exit(main())
