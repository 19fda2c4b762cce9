"""Exports a checkpoint as a state dict of ``torch.nn.Transformer``, with a loader of twenty lines.

This works for every model of ours with the same settings in both stacks. The loader removes what
``nn.Transformer`` has by default but our model may lack (a norm after each stack), and adds what it
lacks (embeddings, positions, the output projection).
"""

import io
import json
import math
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from transformer.checkpoint import Checkpoint
from transformer.config import TransformerConfig
from transformer.errors import CheckpointError, UserError
from transformer.files import write_atomic
from transformer.interop.nn_transformer.stacks import Stack, tensors_of
from transformer.interop.planted import refuse_planted
from transformer.vocabulary import Vocabulary

ENDINGS = (".pt", ".pth", ".safetensors")
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "silu"}
"""Our names of activations -> names in ``torch.nn.functional``."""


def export_state_dict(checkpoint: Checkpoint, path: Path) -> list[Path]:
    """Write the state dict, its loader and its vocabularies.

    Args:
        path: ends in .pt, .pth or .safetensors.

    Returns:
        the three files: ``path``, the loader ``NAME_model.py`` and ``NAME_vocabulary.json``.

    Raises:
        UserError: the path has another ending.
    """
    if path.suffix not in ENDINGS:
        raise UserError(f"{path.name}: a state dict's name must end in {' or '.join(ENDINGS)}.")
    state = state_dict(checkpoint)
    if path.suffix == ".safetensors":
        # In safetensors, two names cannot share one tensor.
        content = safetensors.torch.save({name: t.clone() for name, t in state.items()})
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
    model, vocabulary = (
        path.with_name(f"{path.stem}{end}") for end in ("_model.py", "_vocabulary.json")
    )
    write_atomic(path, content)
    write_atomic(model, loader(checkpoint.config, path.name, vocabulary.name).encode())
    write_atomic(vocabulary, vocabularies(checkpoint).encode())
    return [path, model, vocabulary]


def state_dict(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors by their names in the loader's module.

    Raises:
        CheckpointError: the model has settings that ``nn.Transformer`` lacks, such as different
            stacks, or a planted fault.
    """
    refuse_planted(checkpoint, "an nn.Transformer")
    config, ours = checkpoint.config, checkpoint.model.state_dict()
    for name in ("decoder_norm", "embedding_norm", "decoder_d_ff", "attention_width"):
        if name in config.to_dict():
            raise CheckpointError(
                f"This model cannot be an nn.Transformer because of {name} = "
                f"{getattr(config, name)}, which PyTorch's module does not have."
            )
    state: dict[str, Tensor] = {}
    for kind, layers in (
        ("encoder", config.num_encoder_layers),
        ("decoder", config.num_decoder_layers),
    ):
        stack = Stack(kind, f"transformer.{kind}.", layers, config.norm_after(kind), bias=True)
        for theirs, names in tensors_of(stack):
            state[theirs] = torch.cat([ours[name] for name in names])
    state["src_tok_emb.weight"] = ours["source_embedding.tokens.weight"]
    state["tgt_tok_emb.weight"] = ours["target_embedding.tokens.weight"]
    if config.position_layout == "learned":
        state["src_positions"] = ours["source_embedding.positions"]
        state["tgt_positions"] = ours["target_embedding.positions"]
    else:
        state["positions"] = checkpoint.model.source_embedding.positions
    state["generator.weight"] = ours["output.weight"]
    if config.output_bias:
        state["generator.bias"] = ours["output.bias"]
    return state


def loader(config: TransformerConfig, file: str, vocabulary: str) -> str:
    """Python code that rebuilds the model; its function ``load()`` returns the module."""
    d_model, length = config.d_model, config.max_length
    scale = f" * {math.sqrt(d_model)!r}" if config.scale_embeddings else ""
    learned = config.position_layout == "learned"
    frame = {
        "eos": f"text, {config.eos_id}",
        "bos-eos": f"{config.bos_id}, text, {config.eos_id}",
        "none": "text",
    }
    safe = file.endswith(".safetensors")
    embedding = "torch.nn.Embedding({}, {})".format
    target_embedding = embedding(config.target_vocab_size, d_model)
    embeddings = (
        f"self.src_tok_emb = self.tgt_tok_emb = {target_embedding}"
        if config.share_embeddings
        else "self.src_tok_emb, self.tgt_tok_emb = "
        f"{embedding(config.source_vocab_size, d_model)}, {target_embedding}"
    )
    table = f"torch.zeros({length}, {d_model})"
    positions = (
        f"self.src_positions, self.tgt_positions = (torch.nn.Parameter({table}) for _ in range(2))"
        if learned
        else f'self.register_buffer("positions", {table})'
    )
    src, tgt = ("src_positions", "tgt_positions") if learned else ("positions", "positions")
    stacks = ("encoder", "decoder")
    without = [f"self.transformer.{stack}.norm" for stack in stacks if not config.norm_after(stack)]
    # None: a line that this model does not need.
    lines = [
        f"# The model of {file!r}; its tokens are in {vocabulary!r}.",
        "from pathlib import Path",
        "import torch",
        "from safetensors.torch import load_file" if safe else None,
        "class Model(torch.nn.Module):",
        "    def __init__(self):",
        "        super().__init__()",
        f"        self.transformer = torch.nn.Transformer({d_model}, {config.num_heads}, "
        f"{config.num_encoder_layers}, {config.num_decoder_layers}, {config.d_ff}, "
        f"{config.dropout!r}, torch.nn.functional.{ACTIVATIONS[config.activation]}, "
        f"layer_norm_eps={config.layer_norm_eps!r}, batch_first=True, "
        f"norm_first={config.norm_first})",
        f"        {' = '.join(without)} = None" if without else None,
        f"        {embeddings}",
        f"        {positions}",
        f"        self.generator = torch.nn.Linear({d_model}, {config.target_vocab_size}, "
        f"bias={config.output_bias})",
        "        self.generator.weight = self.tgt_tok_emb.weight"
        if config.tie_embeddings
        else None,
        f"    def forward(self, source, target):  # ids: [{frame[config.source_frame]}], "
        f"[{config.decoder_start_id}, text]; {config.pad_id} fills up",
        "        future, padded = torch.ones(2 * target.shape[1:], dtype=torch.bool, "
        f"device=target.device).triu(1), source == {config.pad_id}",
        f"        x = self.src_tok_emb(source){scale} + self.{src}[: source.size(1)]",
        f"        y = self.tgt_tok_emb(target){scale} + self.{tgt}[: target.size(1)]",
        "        return self.generator(self.transformer(x, y, tgt_mask=future, "
        "src_key_padding_mask=padded, memory_key_padding_mask=padded))",
        f"def load(path=Path(__file__).with_name({file!r})):",
        "    model = Model(); model.load_state_dict("
        f"{'load_file(path)' if safe else 'torch.load(path, weights_only=True)'}); "
        "return model.eval()",
    ]
    return "".join(f"{line}\n" for line in lines if line is not None)


def vocabularies(checkpoint: Checkpoint) -> str:
    """Both vocabularies as JSON: tokens in the order of their ids, as the import reads them."""

    def plain(vocabulary: Vocabulary) -> dict[str, object]:
        merges = {"merges": vocabulary.merges} if vocabulary.kind == "bpe" else {}
        return {"kind": vocabulary.kind, "tokens": vocabulary.tokens, **merges}

    sides = {
        "source": plain(checkpoint.source_vocabulary),
        "target": plain(checkpoint.target_vocabulary),
    }
    return json.dumps(sides, ensure_ascii=False) + "\n"
