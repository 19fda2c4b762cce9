"""The command that lists the faults of hand-written Transformers which can be planted here."""

import argparse
import json
from typing import Any


def add_commands(commands: Any) -> None:
    """``faults``."""
    parser = commands.add_parser("faults", help="list the faults that can be planted in a model")
    parser.add_argument("--json", action="store_true", help="print one JSON object per fault")
    parser.set_defaults(run=list_faults)


def list_faults(options: argparse.Namespace) -> int:
    from transformer.faults import FAULTS

    for fault in FAULTS.values():
        if options.json:
            said = ("name", "title", "family", "section", "harmless")
            print(
                json.dumps({name: getattr(fault, name) for name in said} | {"planted": fault.place})
            )
        else:
            harmless = " (harmless)" if fault.harmless else ""
            place = "" if fault.place == "model" else f" (in the {fault.place})"
            print(f"{fault.name:<30} {fault.section:<6} {fault.title}{place}{harmless}")
    return 0
