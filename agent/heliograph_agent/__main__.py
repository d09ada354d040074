"""`heliograph-agent`, and `python -m heliograph_agent`."""

import sys


def main() -> int:
    """The console script."""
    from heliograph_agent import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
