"""Run the command `heliograph-agent`, also as `python -m heliograph_agent`."""

import sys


def main() -> int:
    """Run the console script."""
    from heliograph_agent import cli

    return cli.main(sys.argv[1:], is_program=True)


if __name__ == "__main__":
    sys.exit(main())
