"""My model: capture.py to download, a field for its capture, and the verdict on it.

Session state has the last verdict, without weights, as "diagnosis". The captured model is stored
like an upload, and becomes the current model.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components.debug.fault_lines import fault_lines
from pages.components.shared.download import download
from pages.components.shell import address, browser, current, session
from pages.components.shell.frame import problem
from pages.components.shell.loaded import give_back_soon
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import plain, verbatim
from pages.components.shell.uploaded import free, in_field
from pages.components.stores import uploads
from pages.components.widgets.architecture import picture
from transformer.config.limits import NO_FOREIGN_FILES, Limits
from transformer.errors import CheckpointError, UserError
from transformer.figures.architecture import architecture_svg
from transformer.vocabulary.vocabulary import MAX_TOKENS, visible

if TYPE_CHECKING:
    from transformer.doctor.report import Report
    from transformer.faults import Fault
    from transformer.interop.foreign_vocabulary import Given

CAPTURE = Path(__file__).parents[3] / "transformer" / "doctor" / "capture.py"
COMMAND = "python capture.py my_model.py:build mine.safetensors"
NOTEBOOK = 'from capture import capture\n\ncapture(model, "mine.safetensors")'
OUTSIDE = ("loss", "optimizer", "decoding")
"""Places of faults outside the model."""
HINTS = {
    1: "The section",
    2: "What and where",
    3: "Cause, remedy",
}


def panel() -> None:
    """Three steps to a capture, and the verdict on the last one."""
    found = st.session_state.get("diagnosis")
    # A verdict comes first, on a narrow screen too.
    if found is None:
        steps, verdict = st.columns([2, 3], gap="large")
    else:
        verdict, steps = st.columns([3, 2], gap="large")
    with verdict:
        if found is None:
            st.info(
                "The verdict will appear here: whether your model is the paper's, and if not, "
                "where it departs, with your line beside the paper's.",
                icon=":material/stethoscope:",
            )
        elif "refused" in found:
            problem(UserError(found["refused"]))
        else:
            _verdict(found)
    with steps:
        if found is not None:
            _drawing(found)
        _steps()


def _drawing(found: dict[str, Any]) -> None:
    """Draw the paper's figure with this model's sizes, and mark the box where it first departs."""
    if not found.get("picture") or (found["lit"] and st.session_state.get("hint") == 1):
        return  # the first hint must not reveal where
    said = "Figure 1 of the paper, with the sizes of your model."
    if found["lit"]:
        said = "Figure 1 of the paper: your model first departs in the highlighted box."
    st.caption(said)
    picture(found["picture"], key="departure")


def _steps() -> None:
    st.markdown("**1.** Put `capture.py` beside your code. It needs only Python and torch.")
    download("capture.py", CAPTURE, "capture.py")
    st.markdown("**2.** Run it there. `build()` in your file returns your `nn.Module`.")
    st.code(COMMAND, language=None, wrap_lines=True)
    with st.expander("In a notebook, and if it cannot call your model"):
        st.code(NOTEBOOK, language=None, wrap_lines=True)
        st.markdown(
            "If it cannot call your model, put `call(model, source, target)` beside `build()`. "
            "It takes ids `[batch, source]` and `[batch, target]` and returns logits `[batch, "
            "target, vocabulary]`."
        )
    st.markdown("**3.** Drop the file it wrote. It holds numbers and the lines they come from.")
    limits = Limits.from_environment()
    with st.expander("Words instead of ids, if it is right"):
        st.file_uploader(
            "Your vocabulary, before the capture",
            key="capture vocabulary",
            help="tokenizer.json, token to id or id to token as JSON, word2idx, a token a line, "
            "SentencePiece's .vocab or fairseq's dict.txt; both sides in one object as "
            '{"source": …, "target": …}.',
        )
    turn = st.session_state.setdefault("capture turn", 0)
    with st.container(key="upload-field"):
        st.file_uploader(
            "Drop mine.safetensors here",
            type="safetensors",
            key=f"capture {turn}",
            max_upload_size=limits.upload_mb,
        )
    st.caption(f"Up to {limits.upload_mb} MB.")
    uploaded = in_field(f"capture {turn}")
    if uploaded is not None:
        st.session_state["capture turn"] = turn + 1
        st.session_state["diagnosis"] = _examined(uploaded.name, uploaded.getvalue())
        free(uploaded)
        give_back_soon(uploaded.size)
        st.rerun()


def _examined(name: str, content: bytes) -> dict[str, Any]:
    """All that the page shows of a capture, for each level of hints, without the weights."""
    with st.spinner(f"Comparing {plain(visible(name))} with the paper…"):
        session.use_torch()
        from transformer.doctor.examine import examine
        from transformer.faults import FAULTS

        try:
            report = examine(content)
        except CheckpointError as error:
            return {"refused": f"{visible(name)} was not taken. {error}"}
        kept, example, why = _kept(name, report)
    return {
        "name": visible(name),
        "kept": kept,
        "not kept": why,
        "example": example,
        "lit": report.highlight is not None,
        "picture": _picture(report),
        "sentence": report.sentence(),
        "verdict": report.verdict,
        "passed": report.passed,
        "hints": {hint: report.to_dict(hint) for hint in HINTS},
        "pages": {hint: report.html(hint) for hint in HINTS},
        "lines": [d.site.text if d.site else "" for d in report.departures],
        "faults": [FAULTS.get(departure.fault) for departure in report.departures],
    }


def _picture(report: "Report") -> str:
    reference = report.diagnosis.reference
    return "" if reference is None else architecture_svg(reference.config, report.highlight)


def _kept(name: str, report: "Report") -> tuple[str, str, str]:
    """Store the model like an upload and make it the current one.

    Returns:
        its id, an input that it can read, and why it was not stored; "" for what does not apply.
    """
    from transformer.interop.captured.convert import Details, checkpoint_of

    found = report.diagnosis
    if not Limits.from_environment().foreign_files:
        return "", "", NO_FOREIGN_FILES
    if found.reading is None:
        return "", "", ""
    try:
        checkpoint = checkpoint_of(found.recording, Details(_vocabularies()), found)
        upload, checkpoint = uploads.keep(name, checkpoint, browser.owner())
    except UserError as error:
        return "", "", str(error) if report.passed else ""  # else the verdict says why
    session.remember(upload.path, checkpoint)
    current.set_model(upload.id)
    words = checkpoint.source_vocabulary
    return upload.id, words.decode(range(4, min(9, len(words)))), ""


def _vocabularies() -> "Given":
    from transformer.interop.files.large_vocabularies import read_in_own_process

    uploaded = in_field("capture vocabulary")
    if uploaded is None:
        return None, None
    return read_in_own_process(uploaded.getvalue(), uploaded.name, MAX_TOKENS)


def _look(found: dict[str, Any]) -> None:
    """Links to the pages that show the model; or why it was not stored."""
    if found["not kept"]:
        st.caption(plain(f"It is not kept as a model. {found['not kept']}"))
    if not found["kept"]:
        return
    query = {"checkpoint": found["kept"], "input": found["example"]}
    with st.container(horizontal=True):
        link_to("Attention", "Look at it in Attention", query)
        link_to("Decode", "Let it write in Decode", query)


def _verdict(found: dict[str, Any]) -> None:
    show = st.success if found["passed"] else st.warning
    icons = {"equal": ":material/verified:", "unknown": ":material/help:"}
    show(
        f"**{plain(found['name'])}.** {plain(found['sentence'])}",
        icon=icons.get(found["verdict"], ":material/troubleshoot:"),
    )
    _look(found)
    if found["verdict"] == "equal":
        _around_the_model()
    hint: int = 3
    if found["verdict"] != "equal":
        hint = st.segmented_control(
            "How much to say",
            list(HINTS),
            format_func=lambda level: HINTS[level],
            default=2,
            key="hint",
            required=True,
        )
    report = found["hints"][hint]
    if report["mapping_problem"] and hint > 1:
        at = f" ({verbatim(report['line'])})" if report["line"] else ""
        st.markdown(plain(report["mapping_problem"]) + at)
    for number, departure in enumerate(report["departures"]):
        _departure(number, departure, found, hint)
    if report["choices"]:
        st.markdown("**Choices, all fine**")
        st.markdown("\n".join(f"- {plain(choice)}" for choice in report["choices"]))
    with st.expander("Checks that need no mapping", expanded=found["verdict"] == "unknown"):
        marks = {"ok": ":green[ok]", "warning": ":orange[look]", "problem": ":red[problem]"}
        for check in report["checks"]:
            mark = marks[check["state"]]
            st.markdown(f"{mark} **{plain(check['name'])}.** {plain(check['sentence'])}")
    if report["mapping"]:
        with st.expander("Which parameter plays which role"):
            st.dataframe(
                [{"role": role, "parameters": name} for role, name in report["mapping"].items()],
                hide_index=True,
            )
    download(
        "Certificate" if found["verdict"] == "equal" else "Report",
        found["pages"][hint],
        "doctor.html",
    )


def _around_the_model() -> None:
    """Buttons to the other panels, for a correct model that does not learn."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("It still does not learn? Look at the code around it:", width="content")
        for label, panel in (("My curve", "curve"), ("My symptom", "symptom")):
            st.button(label, key=f"to {panel}", on_click=address.receive, args=("debug", panel))


def _what_the_line_is(where: str, fault: "Fault | None") -> str:
    if where in OUTSIDE:
        return "Your function"
    if fault is not None and fault.name == "memory-detached":
        return "No value differs, only the gradient: it stops at an input of this line."
    return "Here your values differ first: the cause is this line, or one whose result it reads."


def _departure(number: int, departure: dict[str, Any], found: dict[str, Any], hint: int) -> None:
    with st.container(border=True):
        if hint == 1:
            st.markdown(f"Read section **{departure['section']}** of the paper again.")
            return
        if hint == 3:
            harmless = ", harmless" if departure["harmless"] else ""
            st.markdown(
                f"**{plain(departure['title'])}** ({departure['certainty']}{harmless}; "
                f"{verbatim(departure['fault'])}, section {departure['section']})"
            )
        line, fault = found["lines"][number], found["faults"][number]
        at = f", {verbatim(departure['line'])}" if departure["line"] else ""
        st.markdown(f"Seen at {plain(departure['where'])}{at}")
        if line:
            st.caption(_what_the_line_is(departure["where"], fault))
            st.code(line, language=None, wrap_lines=True)
        if hint == 3 and fault is not None:
            fault_lines(fault, "The usual mistake")
            st.markdown(f"{plain(fault.why)} **{plain(departure['remedy'])}**")
        if hint == 3 or departure["evidence"]:
            evidence = departure["evidence"]
            proven = found["hints"][3]["departures"][number]["certainty"] == "proven"
            if hint == 2 and proven and departure["where"] not in OUTSIDE:
                evidence = "Up to here your values are the paper's; from here on they are not."
            st.caption(plain(evidence))
