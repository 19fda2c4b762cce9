"""The machine and the package versions used for the measurements."""

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "transformers", "ctranslate2", "x-transformers", "joeynmt")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx512_fp16", "amx_bf16", "amx_int8")
"""CPU flags that decide how fast matrix products are."""


def describe(device: str) -> dict[str, Any]:
    """Machine and versions, as plain data."""
    info = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    lines = [line.partition(":") for line in info.splitlines()]
    values = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    flags = set(values.get("flags", "").split())
    return {
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": values.get("model name") or platform.processor() or platform.machine(),
        "processor flags": [flag for flag in FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "load before": [round(load, 2) for load in os.getloadavg()],
        "versions": {name: version(name) for name in PACKAGES},
    }


def version(package: str) -> str | None:
    """A package's version; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
