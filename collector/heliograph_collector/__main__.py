"""`heliograph-collector`, and `python -m heliograph_collector`."""

import sys


def main() -> int:
    """The console script."""
    from heliograph_collector import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
