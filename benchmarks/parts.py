"""The parts against plain torch, and how time and memory grow: the second table, without bars.

    python benchmarks/parts.py                       # under 15 minutes on two cores
    python benchmarks/parts.py --quick --only sizes  # tiny, and not written

Every file in ``sections/`` makes one table. What is compared takes turns in one process.
"""

import argparse
import importlib
import sys
import warnings
from pathlib import Path

from _machine import Load, foot

from vi.training.quiet import quiet

_HERE = Path(__file__).parent
_SECTIONS = ("step", "formulas", "loading", "framework", "sizes", "data_size", "memory")


def main() -> None:
    """Measure, print, and write ``results/parts.md``."""
    parser = argparse.ArgumentParser(description="The parts of vi against plain torch.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--only", default="", help="names of sections, with commas")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tables, loads = [], []
    for name in options.only.split(",") if options.only else _SECTIONS:
        section = importlib.import_module(f"sections.{name}").section
        with quiet(), Load() as load:
            tables.append(section(quick=options.quick))
        loads.append(load.others)
        print(f"{tables[-1]}\nothers {load.others:.1%}\n", file=sys.stderr)
    whole = "\n".join(["# The parts\n", *tables, foot("python benchmarks/parts.py", loads)])
    print(whole)
    if not options.quick and not options.only:
        (_HERE / "results" / "parts.md").write_text(whole, encoding="utf-8")


if __name__ == "__main__":
    main()
