"""Files in the memory of upload fields, freed once they are read."""

from typing import TYPE_CHECKING

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import DeletedFile

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile


def in_field(key: str) -> "UploadedFile | None":
    """The file in an upload field; None if there is none or its upload broke off, which Streamlit
    reports as a DeletedFile."""
    file: UploadedFile | DeletedFile | None = st.session_state.get(key)
    return None if isinstance(file, DeletedFile) else file


def free(file: "UploadedFile") -> None:
    """Free a field's file, which Streamlit keeps until the session ends. Draw a new field then."""
    context = get_script_run_ctx()
    files = context.uploaded_file_mgr if context is not None else None
    if context is not None and isinstance(files, MemoryUploadedFileManager):
        files.remove_file(context.session_id, file.file_id)
    file.close()  # the field's state refers to it until this run of the page ends
