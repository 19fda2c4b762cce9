"""Compares the speed of this project with that of the libraries one would use instead:

    pip install -r benchmarks/requirements.txt && python -m benchmarks [--quick]

All in one run on this machine: CPU time on one thread, the variants in turn, medians of each
round's ratios with quartiles; leave the machine idle meanwhile all the same. Writes
``benchmarks/results/NAME.json`` and, beside it, a page. A peer that is not installed is left out.
"""

import argparse
import json
import os
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PARTS = ("training", "decoding", "capture", "growth", "cold")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 3 minutes: no base size")
    parser.add_argument("--seconds", type=float, default=60, help="for each comparison's rounds")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--sizes", nargs="+", choices=("tiny", "small", "base"), metavar="SIZE")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--name", help="of the files written; the device if left out")
    parser.add_argument("--table", action="store_true", help="only print the table of a JSON")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    path = RESULTS / f"{options.name or options.device}{'-quick' * options.quick}.json"
    if options.table:
        from benchmarks.peers.rows import Row
        from benchmarks.peers.targets import table

        if not path.exists():
            print(f"There is no {path.name} in {path.parent}; run without --table first.")
            return 1
        rows = json.loads(path.read_text("utf-8"))["rows"]
        print(table([Row.from_dict(row) for row in rows], options.device))
        return 0
    # Set before torch is imported: one thread, which does not spin while it waits.
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    from benchmarks.peers.run import run

    return run(options, path)


if __name__ == "__main__":
    sys.exit(main())
