"""Downloads a MarianMT model by its name on the Hugging Face hub."""

import re
from pathlib import Path

from transformer.checkpoint.header import MAX_FILE_BYTES
from transformer.errors import CheckpointError

NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "vocab.json",
    "target_vocab.json",
    "source.spm",
    "target.spm",
)
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def is_name(text: str) -> bool:
    """Whether a text can be a name on the hub, such as Helsinki-NLP/opus-mt-en-de."""
    return NAME.fullmatch(text) is not None and not Path(text).exists()


def fetch(name: str) -> Path:
    """The folder with the model's files; missing ones are downloaded.

    Raises:
        CheckpointError: `huggingface_hub` is missing, the machine is offline, or there is no such
            model; the message says how to get one.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError:
        raise CheckpointError(
            "Names on the Hugging Face hub need the package huggingface_hub: "
            "pip install huggingface_hub."
        ) from None
    try:
        listed = HfApi().model_info(name, files_metadata=True, timeout=20).siblings or []
        sizes = {file.rfilename: file.size or 0 for file in listed}
        weights = [next((one for one in WEIGHTS if one in sizes), WEIGHTS[0])]
        wanted = [file for file in (*FILES, *weights) if file in sizes]
        if (total := sum(sizes[file] for file in wanted)) > MAX_FILE_BYTES:
            raise CheckpointError(
                f"{name} has {total:,} bytes; at most {MAX_FILE_BYTES:,} are taken."
            )
        return Path(snapshot_download(name, allow_patterns=wanted))
    except CheckpointError:
        raise
    except Exception as error:  # offline, no such name, no space: many kinds
        raise CheckpointError(
            f"{name} could not be fetched from the Hugging Face hub "
            f"({type(error).__name__}); download its files elsewhere into a folder and import that."
        ) from None
