"""Headers of checkpoints, as far as pages need them before torch is imported."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import streamlit as st

from pages.components.shell.loaded import Key, key_of, loaded
from transformer.checkpoint.header import Header, Summary, read_header
from transformer.config import DataConfig, TransformerConfig
from transformer.errors import CheckpointError


@dataclass(frozen=True)
class Facts:
    """A header without its vocabularies, which may take megabytes; cached for every listed file.

    vocabularies: a hash of both vocabularies.
    """

    config: TransformerConfig
    data: DataConfig
    summary: Summary | None
    fault: str
    licence: str
    compared: bool
    vocabularies: str


@lru_cache(maxsize=500)  # called for every file at every click; Streamlit's cache is 10x slower
def _facts(key: Key) -> Facts | None:
    header = _read(key)
    if header is None:
        return None
    both = (header.source_vocabulary, header.target_vocabulary)
    plain = json.dumps([side.to_dict() for side in both])
    return Facts(
        header.config,
        header.data,
        header.summary,
        header.fault,
        header.licence,
        header.compared,
        hashlib.sha256(plain.encode()).hexdigest(),
    )


def facts_of(path: Path) -> Facts | None:
    """The facts of a checkpoint; None if it is damaged or gone."""
    key = key_of(path)
    return None if key is None else _facts(key)


@st.cache_resource(max_entries=4)
def _header(key: Key) -> Header | None:
    return _read(key)


def header_of(path: Path) -> Header | None:
    """The header of a checkpoint; None if it is damaged or gone. Loads no torch."""
    key = key_of(path)
    if key is None:
        return None
    found = loaded().find(key)
    return _header(key) if found is None else found.header


def _read(key: Key) -> Header | None:
    found = loaded().find(key)
    if found is not None:
        return found.header
    try:
        return read_header(Path(key[0]))[0]
    except CheckpointError:
        return None
