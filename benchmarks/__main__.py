"""Run every benchmark one after another: ``python -m benchmarks [name ...]``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    sys.path.insert(0, str(HERE))  # some share what they measure
    wanted = sys.argv[1:]
    sys.argv[1:] = []
    for script in sorted(HERE.glob("bench_*.py")):
        if not wanted or script.stem.removeprefix("bench_") in wanted:
            print(f"== {script.stem}", flush=True)
            runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
