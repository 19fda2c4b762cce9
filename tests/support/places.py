"""Paths of the project and its bundled models."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "checkpoints"


def bundled_file(name: str) -> Path:
    """The file of a bundled model."""
    return BUNDLED / f"{name}.safetensors"
