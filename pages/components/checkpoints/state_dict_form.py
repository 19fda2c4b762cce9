"""Questions that only the user can answer about a state dict: tensors' roles, heads, vocabulary."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components.shell import session
from pages.components.shell.frame import problem
from pages.components.shell.loaded import give_back_soon
from pages.components.shell.text import plain, verbatim
from pages.components.shell.uploaded import free
from transformer.errors import UserError
from transformer.interop.files.large_vocabularies import read_in_own_process
from transformer.interop.foreign_vocabulary import (
    SPECIAL,
    ForeignVocabulary,
    Sides,
    Special,
    numbered,
)
from transformer.interop.nn_transformer.questions import QUESTIONS
from transformer.vocabulary.vocabulary import printable

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from transformer.checkpoint import Checkpoint
    from transformer.interop.nn_transformer.survey import Choices, Sizes, Survey

SURVEY = "import survey"
"""Key in session state: the file that was surveyed, and its survey."""
READ = "import vocabularies"
"""Key in session state: id of an uploaded file, and most tokens -> the vocabularies in it."""
MOST_ROWS = 30
"""Maximum number of tensors with their own field; one checkbox leaves out all others."""
LARGEST_MB = 32
"""Maximum size in MB of a file of a vocabulary or of pairs."""


def state_dict_form(path: Path, name: str) -> "Checkpoint | None":
    """Show what a state dict holds, ask for the rest, and import it when the button is pressed.

    Args:
        path: the file, already checked to be a state dict.
        name: its name on the user's machine.

    Returns:
        the checkpoint, once the button is pressed and the import has succeeded.

    Raises:
        UserError: it holds no ``nn.Transformer`` that can be imported.
    """
    found = _survey(path)
    st.markdown(plain(found.sentence))
    roles = _roles(found, path)
    choices = _questions(found, path, roles)
    files = _vocabulary_files(path)
    try:
        sides = _vocabularies(found, found.sizes(roles), path, *files)
        pairs = _pairs_field(path)
        if not st.button("Import", type="primary", key=f"import {path.name}"):
            return None
        with st.spinner("Converting every tensor…"):
            return _convert(path, name, choices, sides, pairs)
    except UserError as error:
        problem(error)
        return None


def _survey(path: Path) -> "Survey":
    """What is in the file. Its weights are freed afterwards, and read again for the import."""
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    kept = st.session_state.get(SURVEY)
    if kept is None or kept[0] != key:
        session.use_torch()
        from transformer.interop.files.state_dicts import read_state_dict
        from transformer.interop.nn_transformer.survey import survey

        with st.spinner("Looking at the names and shapes of its tensors…"):
            kept = (key, survey(read_state_dict(path)))
        give_back_soon(stat.st_size)
        st.session_state[SURVEY] = kept
    return kept[1]


def _convert(
    path: Path, name: str, choices: "Choices", sides: Sides, pairs: "UploadedFile | None"
) -> "Checkpoint":
    from transformer.interop.files.state_dicts import read_state_dict
    from transformer.interop.nn_transformer.check import import_checked, read_pairs
    from transformer.interop.nn_transformer.convert import convert

    origin = f"Imported from {name}, the state dict of a torch.nn.Transformer."
    tensors = read_state_dict(path, as_stored=True)
    if pairs is None:
        return convert(tensors, choices, sides, origin=origin)
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        file = Path(folder) / "pairs"
        file.write_bytes(pairs.getvalue())
        return import_checked(tensors, choices, sides, read_pairs(file), origin)


def _pairs_field(path: Path) -> "UploadedFile | None":
    """Field for a file of ids with the original model's logits, which replace guesses by proof."""
    from transformer.interop.nn_transformer.check import SNIPPET

    with st.expander("No guessing: compare it with its original"):
        st.markdown(
            "Save a few sentences with your model's logits, and drop the file: the app tries "
            "heads, norms, activation, scaling and positions until the logits are equal."
        )
        st.code(SNIPPET, language="python", wrap_lines=True)
        return st.file_uploader(
            "pairs.pt",
            key=f"pairs {path.name}",
            help="Ids and logits of a few sentences, as these three lines save them.",
            max_upload_size=LARGEST_MB,
        )


# --- The tensors outside the stacks ----------------------------------------------------------


def _roles(found: "Survey", path: Path) -> dict[str, str]:
    """Draw the tensors with their guessed roles, which the user may correct; name -> role."""
    from transformer.interop.nn_transformer.name_mapping import LEFT_OUT, ROLES, UNKNOWN

    st.markdown("**What its other tensors are for.** Correct what is wrong.")
    roles = {row.name: row.role for row in found.rows}
    # Tensors of unknown role first; copies and masks, which are left out, last.
    order = sorted(found.rows, key=lambda row: (row.role != UNKNOWN, row.role == LEFT_OUT))
    for row in order[:MOST_ROWS]:
        left, middle, right = st.columns([4, 3, 4], vertical_alignment="center")
        shape = " × ".join(map(str, row.shape)) or "a number"
        left.markdown(f"{verbatim(_short(row.name))}  \n{shape}")
        roles[row.name] = middle.selectbox(
            f"What {_short(row.name)} is for",
            ROLES,
            index=ROLES.index(row.role),
            key=f"role {path.name} {row.name}",
            label_visibility="collapsed",
        )
        right.caption(plain(f"{row.sure.capitalize()}: {row.why}."))
    rest = order[MOST_ROWS:]
    if rest and st.checkbox(f"Leave the other {len(rest):,} tensors out", key=f"rest {path.name}"):
        roles |= {row.name: LEFT_OUT for row in rest if row.role == UNKNOWN}
    return roles


def _short(name: str) -> str:
    shown = "".join(map(printable, name))
    return shown if len(shown) <= 60 else "…" + shown[-59:]


# --- What shapes cannot tell -----------------------------------------------------------------


def _questions(found: "Survey", path: Path, roles: dict[str, str]) -> "Choices":
    guesses, d_model = found.guesses, found.stacks.d_model

    def key(name: str) -> str:
        return f"{name} {path.name}"

    def why(name: str) -> None:
        st.caption(plain(f"{found.reasons[name][0].upper()}{found.reasons[name][1:]}."))

    st.markdown("**What shapes cannot tell.** Each is a guess, with its reason.")
    heads = {n: str(n) for n in range(1, 65) if d_model % n == 0}
    answers: dict[str, Any] = {}
    columns = st.columns(3, gap="medium")
    for place, question in enumerate(QUESTIONS):
        options = question.options or heads
        with columns[place % 3]:
            answers[question.field] = st.selectbox(
                question.label,
                list(options),
                index=list(options).index(getattr(guesses, question.field)),
                format_func=options.__getitem__,
                key=key(question.field),
            )
            why(question.field)
    with st.expander("Less often different"):
        left, right = st.columns(2, gap="medium")
        with left:
            length = st.number_input(
                "Longest sequence, in tokens",
                2,
                4096,
                guesses.max_length,
                key=key("max_length"),
            )
            why("max_length")
        with right:
            eps = st.number_input(
                "ε of the norms",
                1e-12,
                0.1,
                guesses.layer_norm_eps,
                format="%.1e",
                key=key("layer_norm_eps"),
            )
            why("layer_norm_eps")
    return replace(
        guesses,
        roles=roles,
        **answers,
        max_length=int(length),
        layer_norm_eps=float(eps),
    )


# --- Vocabularies ----------------------------------------------------------------------------


def _vocabulary_files(path: Path) -> "tuple[UploadedFile | None, UploadedFile | None]":
    """Fields for two files: the vocabulary of the source or of both, and that of the target."""
    st.markdown(
        "**Its vocabularies.** Without a file, the ids themselves are the tokens: `7 12 9`."
    )
    left, right = st.columns(2, gap="medium")
    help = "JSON (a list, or an object of token to id), or text with one token per line, in UTF-8."
    with left:
        both = st.file_uploader(
            "Vocabulary of the source, or of both",
            key=_keys(path)[0],
            help=help,
            max_upload_size=LARGEST_MB,
        )
    with right:
        own = st.file_uploader(
            "Vocabulary of the target, if it has its own",
            key=_keys(path)[1],
            help=help,
            max_upload_size=LARGEST_MB,
        )
    return both, own


def _vocabularies(
    found: "Survey",
    sizes: "Sizes",
    path: Path,
    both: "UploadedFile | None",
    own: "UploadedFile | None",
) -> Sides:
    """The vocabularies in the files, or ids without files; with the special tokens the user set.

    Raises:
        VocabularyError: a file holds no vocabulary.
    """
    counts = sizes.source_vocab_size, sizes.target_vocab_size
    read: list[ForeignVocabulary | None] = [None, None]
    if both is not None:
        read = list(_read(both, max(counts)))
    if own is not None:
        read[1] = _read(own, counts[1])[1]
    if read[0] is None and read[1] is None:
        special = _special(found.special, None, max(counts), path, "ids", found.reasons["special"])
        return numbered(counts[0], special), numbered(counts[1], special)
    made = []
    for side, vocabulary, size in zip(("source", "target"), read, counts, strict=True):
        if vocabulary is None:
            special = _special(found.special, None, size, path, side, found.reasons["special"])
            made.append(numbered(size, special))
        else:
            special = _special(
                vocabulary.special, vocabulary, len(vocabulary.tokens), path, side, ""
            )
            made.append(replace(vocabulary, special=special))
    return made[0], made[1]


def _read(file: "UploadedFile", most: int) -> Sides:
    """The vocabularies in a file, cached while the form is redrawn."""
    known: dict[tuple[str, int], Sides] = st.session_state.setdefault(READ, {})
    key = (file.file_id, most)
    if key not in known:
        with st.spinner(f"Reading {plain(printable(file.name))}…"):
            found = read_in_own_process(file.getvalue(), file.name, most)
        known |= {key: found}
        for oldest in list(known)[:-2]:  # one for each side
            del known[oldest]
    return known[key]


def forget(path: Path) -> None:
    """Free what the form keeps in memory for a file: its survey, vocabularies, and pairs."""
    state = st.session_state
    for key in (SURVEY, READ):
        state.pop(key, None)
    for key in (*_keys(path), f"pairs {path.name}"):
        if (file := state.get(key)) is not None:
            free(file)


def _keys(path: Path) -> tuple[str, str]:
    return f"vocabulary {path.name}", f"target vocabulary {path.name}"


def _special(
    guess: Special,
    vocabulary: ForeignVocabulary | None,
    size: int,
    path: Path,
    side: str,
    why: str,
) -> Special:
    """Fields for the special tokens' ids; an empty field means that there is no such token."""
    what = "Ids of the special tokens" if side == "ids" else f"Special tokens of the {side}"
    named = "" if vocabulary is None else str(hash(vocabulary.tokens))
    given: dict[str, int | None] = {}
    guessed = f" Guessed: {plain(why)}." if why else ""
    st.caption(f"{what}; leave the field empty for a token it does not have.{guessed}")
    for column, name in zip(st.columns(4), SPECIAL, strict=True):
        number, key = getattr(guess, name), f"special {path.name} {side} {name} {named}"
        st.session_state.setdefault(key, None if number is None or number >= size else number)
        given[name] = column.number_input(
            f"{name} ({side})" if side != "ids" else name,
            0,
            size - 1,
            None,
            key=key,
            placeholder="none",
            persist_state="session",  # it is not drawn while a vocabulary is faulty
        )
        chosen = given[name]
        if vocabulary is not None and chosen is not None:
            column.caption(plain(printable(vocabulary.tokens[chosen])))
    return Special(**given)
