"""A collector that judges on other hosts from its first block, if any are offered.

python -m lab.country.early_judges ARGUMENTS…

Others do once four full blocks in a row left results waiting, some thousand at once, which no lab's
agents measure.
"""

import runpy
import sys

from heliograph_collector.app import judge_workers

COLLECTOR = "heliograph_collector"


def main() -> None:
    judge_workers.BEHIND_BLOCKS = 0
    sys.argv = [COLLECTOR, *sys.argv[1:]]
    runpy.run_module(COLLECTOR, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
