"""Other people's models for the training rows, and the loop they are trained in."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers import tutorial
from benchmarks.peers.sizes import DROPOUT, SMOOTHING, Size
from transformer.vocabulary.vocabulary import EOS_ID, PAD_ID

NN = "nn.Transformer"
MARIAN, X, JOEY = "MarianMT", "x-transformers", "JoeyNMT"
SITES = "dropout where the paper has it: on sub-layers' outputs and embeddings"

Logits = Callable[[Tensor, Tensor], Tensor]


def marian(size: Size, tokens: int) -> tuple[nn.Module, Logits]:
    from transformers import MarianConfig, MarianMTModel

    model = MarianMTModel(
        MarianConfig(
            vocab_size=tokens,
            d_model=size.d_model,
            encoder_layers=size.layers,
            decoder_layers=size.layers,
            encoder_attention_heads=size.num_heads,
            decoder_attention_heads=size.num_heads,
            encoder_ffn_dim=4 * size.d_model,
            decoder_ffn_dim=4 * size.d_model,
            dropout=DROPOUT,
            attention_dropout=0.0,
            activation_dropout=0.0,
            activation_function="relu",
            scale_embedding=True,
            max_position_embeddings=256,
            pad_token_id=PAD_ID,
            eos_token_id=EOS_ID,
            decoder_start_token_id=PAD_ID,
            forced_eos_token_id=EOS_ID,
        )
    )

    def logits(source: Tensor, target: Tensor) -> Tensor:
        return model(
            input_ids=source,
            attention_mask=(source != PAD_ID).long(),
            decoder_input_ids=target,
            use_cache=False,
        ).logits

    return model, logits


def x_transformers(size: Size, tokens: int) -> tuple[nn.Module, Logits]:
    from x_transformers import XTransformer

    side = {
        "num_tokens": tokens,
        "depth": size.layers,
        "heads": size.num_heads,
        "attn_dim_head": size.d_model // size.num_heads,
        "max_seq_len": 256,
        "emb_dropout": DROPOUT,
        "attn_dropout": DROPOUT,
        "ff_dropout": DROPOUT,
    }
    both = {f"{prefix}_{name}": value for prefix in ("enc", "dec") for name, value in side.items()}
    model = XTransformer(dim=size.d_model, **both)

    def logits(source: Tensor, target: Tensor) -> Tensor:
        mask = source != PAD_ID
        encoded = model.encoder(source, mask=mask, return_embeddings=True)
        return model.decoder.net(target, context=encoded, context_mask=mask)

    return model, logits


def joey(size: Size, tokens: int) -> tuple[nn.Module, Logits]:
    from joeynmt.decoders import TransformerDecoder
    from joeynmt.embeddings import Embeddings
    from joeynmt.encoders import TransformerEncoder

    common = {
        "num_layers": size.layers,
        "num_heads": size.num_heads,
        "hidden_size": size.d_model,
        "ff_size": 4 * size.d_model,
        "dropout": DROPOUT,
        "emb_dropout": DROPOUT,
    }
    parts = {
        "encoder": TransformerEncoder(**common),
        "decoder": TransformerDecoder(**common, vocab_size=tokens),
        "source": Embeddings(size.d_model, scale=True, vocab_size=tokens, padding_idx=PAD_ID),
        "target": Embeddings(size.d_model, scale=True, vocab_size=tokens, padding_idx=PAD_ID),
    }
    parts["decoder"].output_layer.weight = parts["target"].lut.weight  # its "tied_softmax"

    def logits(source: Tensor, target: Tensor) -> Tensor:
        mask = (source != PAD_ID)[:, None]
        encoded, _ = parts["encoder"](parts["source"](source), None, mask)
        return parts["decoder"](
            trg_embed=parts["target"](target),
            encoder_output=encoded,
            encoder_hidden=None,
            src_mask=mask,
            unroll_steps=None,
            hidden=None,
            trg_mask=(target != PAD_ID)[:, None],
        )[0]

    return nn.ModuleDict(parts), logits


def by_tutorial(size: Size, tokens: int, dropout: float = DROPOUT) -> tuple[nn.Module, Logits]:
    model = tutorial.Seq2SeqTransformer(size, tokens, dropout)
    return model, lambda source, target: model(source.T, target.T).transpose(0, 1)


@dataclass(frozen=True)
class Peer:
    """Another library's model to compare with.

    module: what must be installed. make: (size, vocabulary size) -> model and its logits function.
    note: how it differs from ours.
    """

    module: str
    make: Callable[[Size, int], tuple[nn.Module, Logits]]
    note: str


MORE_SITES = "dropout on attention weights and inside the feed-forward network too"
LOOP = "fp32; default Adam, gradient not clipped, batches made beforehand"
PEERS = {
    NN: Peer("torch", by_tutorial, f"{LOOP}; {MORE_SITES}; output not tied; final norms"),
    MARIAN: Peer("transformers", marian, f"{LOOP}; {SITES}; one embedding for all three"),
    X: Peer(
        "x_transformers",
        x_transformers,
        f"{LOOP}; dropout on embeddings, attention weights and inside the feed-forward network; "
        "pre-norm, GELU, learned positions, output not tied",
    ),
    JOEY: Peer("joeynmt.decoders", joey, f"{LOOP}; {MORE_SITES}; final norms; output tied"),
}


def installed(module: str, what: str) -> bool:
    """Whether a peer can be imported; prints one line if not."""
    try:
        importlib.import_module(module)
    except Exception as error:  # with newer packages, a peer may fail in any way
        print(f"{what} is left out: {type(error).__name__}: {str(error).splitlines()[0]}")
        return False
    return True


def usual_step(
    model: nn.Module,
    logits: Logits,
    dtype: torch.dtype = torch.float32,
    smoothing: float = SMOOTHING,
) -> Callable[[Tensor, Tensor, Tensor], float]:
    """The loop body of PyTorch's tutorial, with label smoothing; returns the loss in nats.

    dtype: of the matrix products; if not float32, all but the loss runs under autocast.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9)
    model.train()

    def step(source: Tensor, target_in: Tensor, target_out: Tensor) -> float:
        with torch.autocast(source.device.type, dtype, enabled=dtype != torch.float32):
            out = logits(source, target_in).float()
        optimizer.zero_grad()
        loss = F.cross_entropy(
            out.reshape(-1, out.size(-1)),
            target_out.reshape(-1),
            ignore_index=PAD_ID,
            label_smoothing=smoothing,
        )
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
