"""The entry point of `heliograph-collector`, also by `python -m`."""

import sys


def main() -> int:
    """Run the command line of the collector and return its exit status."""
    from heliograph_collector import cli

    return cli.main(sys.argv[1:], is_program=True)


if __name__ == "__main__":
    sys.exit(main())
