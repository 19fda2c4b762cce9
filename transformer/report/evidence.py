"""Evidence that a checkpoint behaves as when it was saved, to keep as JSON or as a page.

It has the checks that :func:`verify` made, and what is needed to make them again elsewhere. Loads
no torch.
"""

import hashlib
import json
import math
import platform
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer.checkpoint.header import read_header
from transformer.errors import CheckpointError, reading
from transformer.files import write_atomic
from transformer.report.document import document, named, table, text

if TYPE_CHECKING:
    from transformer.checkpoint.verification import Check

TITLES = {
    "file": "The file is whole",
    "logits": "Same logits as when it was saved",
    "outputs": "Same answers, generated token by token",
    "cache": "Same answers with and without the cache",
}
"""The statement that each check confirms if it passes."""
FORMATS = (".html", ".json")
PACKAGES = ("torch", "safetensors", "tokenizers", "numpy")
CHUNK = 1 << 20


def verdict(checks: "Sequence[Check]") -> str:
    """The result of all checks together, in a sentence."""
    if not all(check.ok for check in checks):
        return "This checkpoint does not behave as it did when it was saved."
    if not {"logits", "outputs"} <= {check.name for check in checks}:
        return "The file is whole, but it contains nothing to compare its behaviour with."
    return "This checkpoint behaves exactly as it did when it was saved."


def report(path: Path, checks: "Sequence[Check]", name: str = "") -> dict[str, Any]:
    """Everything that was found about a file, as plain values.

    Args:
        name: shown instead of the file's own name, if that says nothing.

    Raises:
        CheckpointError: the file cannot be read any more.
    """
    header, _, _ = read_header(path)
    digest, size = hashlib.sha256(), 0
    with reading(path), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return {
        "report": "Transformer Workbench: does a checkpoint behave as when it was saved?",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "verdict": verdict(checks),
        "ok": all(check.ok for check in checks),
        "file": {
            "name": name or path.name,
            "bytes": size,
            "sha256": digest.hexdigest(),
            "sha256_of_weights_and_description": header.sha256,
        },
        "model": {
            "task": header.data.task,
            "parameters": header.config.num_parameters,
            "config": header.config.to_dict(),
            "origin": header.origin,
        },
        "checks": [
            {**check.verdict(), "title": TITLES.get(check.name, check.name)}
            | {"evidence": _finite(check.evidence)}
            for check in checks
        ],
        "versions": versions(),
        "again": f"python -m transformer verify {name or path.name}",
    }


def versions() -> dict[str, str]:
    """The versions of what a result may depend on."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def as_json(found: Mapping[str, Any]) -> bytes:
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False).encode()


def check_name(path: Path) -> None:
    """
    Raises:
        CheckpointError: there is no report of that kind.
    """
    if path.suffix not in FORMATS:
        raise CheckpointError(
            f"The report {path.name} must end in {' or '.join(FORMATS)}, which sets its format."
        )


def save(found: Mapping[str, Any], path: Path) -> None:
    """Write a report, as JSON or HTML by the path's extension."""
    check_name(path)
    write_atomic(path, as_json(found) if path.suffix == ".json" else as_html(found))


def as_html(found: Mapping[str, Any]) -> bytes:
    """A page that prints well and loads nothing from a server."""
    file, model = found["file"], found["model"]
    about = {
        "File": file["name"],
        "Size": f"{file['bytes']:,} bytes",
        "SHA-256 of the file": file["sha256"],
        "SHA-256 of weights and description": file["sha256_of_weights_and_description"],
        "Model": f"{model['task']}, {model['parameters']:,} parameters",
        "Origin": model["origin"],
    }
    parts = [named(about)]
    for check in found["checks"]:
        mark, word = ("✓", "holds") if check["ok"] else ("✗", "FAILS")
        parts.append(f"<h2>{mark} {text(check['title'])} ({word})</h2>")
        parts.append(f"<p>{text(check['detail'])}.</p>{_evidence(check['evidence'])}")
    parts.append(f"<h2>Versions here</h2>{named(found['versions'])}")
    parts.append(f"<p>To check it again: <code>{text(found['again'])}</code></p>")
    return document(found["verdict"], f"Checked at {found['date']}", "\n".join(parts))


def _evidence(evidence: Mapping[str, Any]) -> str:
    if examples := evidence.get("examples"):
        titles = ["Input", "Target", "Output when saved", "Output now", "Same"]
        rows = [
            [
                *(one[key] for key in ("source", "target", "then", "now")),
                "✓" if one["then"] == one["now"] else "✗ differs",
            ]
            for one in examples
        ]
        if not any(one["target"] for one in examples):  # an imported model has no targets
            for line in (titles, *rows):
                del line[1]
        return table(titles, rows)
    if "largest_difference" not in evidence:
        return ""
    return named(
        {
            "Logits compared": f"{evidence['logits']:,}",
            "Largest difference": str(evidence["largest_difference"]),
            "Allowed": str(evidence["allowed_difference"]),
            "Saved with": _listed(evidence["saved_in"]),
            "Compared with": _listed(evidence["compared_in"]),
        }
    )


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
