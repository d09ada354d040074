"""An agent without grpcio, as where it has no wheels; hidden from this process.

python -m lab.country.lean_agent ARGUMENTS…
"""

import runpy
import sys

AGENT = "heliograph_agent"


def main() -> None:
    # Its import then fails as that of a library that is not installed.
    sys.modules["grpc"] = None  # type: ignore[assignment] # importlib takes None, typeshed does not
    sys.argv = [AGENT, *sys.argv[1:]]
    runpy.run_module(AGENT, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
