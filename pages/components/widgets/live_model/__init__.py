"""A whole model as one HTML file, which runs in the browser alone, with the attention explorer.

The forward pass and greedy decoding are in ``model.js``; the weights are inside the file.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pages.components.shell.mount import WIDGETS, inside_script, pack
from pages.components.shell.offline import offline_page
from pages.components.widgets.attention_explorer import WIDGET
from transformer.analysis.heads import KINDS
from transformer.errors import UserError
from transformer.vocabulary.vocabulary import SPECIAL_TOKENS, Vocabulary, printable

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

MOST_PARAMETERS = 3_000_000
LONGEST_OUTPUT = 256
"""Number of tokens after which an output without an end is cut."""
EXPLORER = {"labels": {}, "noDifference": "", "lookFor": ""}
"""Fields of the explorer's header beside the maps."""

BODY = """<p>{about} Everything runs in this page, without a server. Type an input,
pick a token to see what else could have stood there, switch a head off and see whether the answer
breaks.</p>
<main>
<div class="live">
<section>
<label for="text"><b>Input</b></label>
<input id="text" autocomplete="off" spellcheck="false" maxlength="2000">
<div id="examples" role="group" aria-label="Examples"></div>
<p id="error" role="alert"></p>
<p id="output" aria-live="polite"></p>
<p id="without"></p>
<button type="button" id="on" hidden>All heads on</button>
<p><small id="took"></small></p>
</section>
<section>
<b>Token</b>
<div id="tokens" role="group" aria-label="Tokens of the answer"></div>
<table aria-label="The likeliest tokens at this place"><tbody id="candidates"></tbody></table>
</section>
</div>
<div id="explorer">{widget}</div>
</main>"""


def live_page(checkpoint: "Checkpoint", title: str, examples: Sequence[str] = ()) -> bytes:
    """The HTML file.

    Args:
        title: the page's title.
        examples: inputs to choose from; the page starts with the first.

    Raises:
        UserError: the page cannot run the model, see :func:`why_not`.
    """
    config = checkpoint.config
    if reason := why_not(checkpoint):
        raise UserError(reason)
    sides = {"source": checkpoint.source_vocabulary, "target": checkpoint.target_vocabulary}
    tensors = sorted(checkpoint.tensors.items())
    header = {
        "config": config.to_dict(),
        **{side: _vocabulary(vocabulary) for side, vocabulary in sides.items()},
        "shapes": [(name, list(tensor.shape)) for name, tensor in tensors],
        "titles": {kind: title for kind, (title, _) in KINDS.items()},
        "explorer": EXPLORER,
        "most": min(config.longest_output or LONGEST_OUTPUT, LONGEST_OUTPUT),
        "examples": list(examples),
    }
    data = pack(header, (tensor.detach().cpu().numpy().astype("<f4") for _, tensor in tensors))
    folder = WIDGETS / "live_model"
    scripts = [(folder / name).read_text("utf-8") for name in ("model.js", "live_page.js")]
    return offline_page(
        title,
        BODY.format(
            about=f"A Transformer with {config.num_parameters:,} parameters.", widget=WIDGET.html
        ),
        WIDGET.style + (folder / "live_page.css").read_text("utf-8"),
        [WIDGET.script_alone, inside_script("\n".join([*scripts, "openPage(carried);"]))],
        data,
    )


def _vocabulary(vocabulary: Vocabulary) -> dict[str, object]:
    return {
        "kind": vocabulary.kind,
        "tokens": vocabulary.tokens,
        "shown": [printable(token) for token in vocabulary.tokens],
        "special": len(SPECIAL_TOKENS),
    }


def why_not(checkpoint: "Checkpoint") -> str:
    """Why a page cannot run this model; empty if it can."""
    config = checkpoint.config
    if config.num_parameters > MOST_PARAMETERS:
        return (
            f"This model has {config.num_parameters:,} parameters; a page takes at most "
            f"{MOST_PARAMETERS:,}."
        )
    for side in (checkpoint.source_vocabulary, checkpoint.target_vocabulary):
        if side.kind not in ("characters", "words") or side.has_own_special:
            return "This model reads pieces of words; a page takes models of characters or words."
    as_there = config.final_norm_side == "both" and not config.embedding_norm
    as_there = as_there and config.decoder_norm == "as encoder"
    as_there = as_there and not config.attention_width
    known = config.activation in ("relu", "swish") and config.pad_in_output == "allowed"
    if not (as_there and known):
        return "This model was imported with settings that a page cannot run yet."
    return ""
