"""A client of a real server without a browser: it uses HTTP and the WebSocket as a browser does."""

import re
import secrets
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlencode, urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from tests.support.server import Server

PATIENCE = 120.0
BOUNDARY = "between-the-parts"
ENDED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)


@dataclass
class PageContents:
    """What a page has shown since the last message to the server."""

    said: list[str] = field(default_factory=list)
    uploaders: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)


class Visitor:
    """One session, of a new browser or of the known one that has this token."""

    def __init__(self, server: Server, token: str = "") -> None:
        self.url = server.url
        self.page, self.query = "", ""
        self.seen = PageContents()
        with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=PATIENCE) as answer:
            found = re.search("_streamlit_xsrf=([^;]+)", answer.headers.get("Set-Cookie", ""))
        self.xsrf = found[1] if found else ""
        self.cookie = f"workbench={token or secrets.token_hex(16)}; _streamlit_xsrf={self.xsrf}"
        self.entered = ExitStack()
        opening = connect(
            self.url.replace("http", "ws") + "/_stcore/stream",
            subprotocols=["streamlit"],  # type: ignore[list-item]
            additional_headers={"Cookie": self.cookie, "Origin": self.url},
            max_size=None,
            open_timeout=PATIENCE,
        )
        self.socket = self.entered.enter_context(opening)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.entered.close()

    def open(self, page: str, **query: str) -> float:
        """Open a page, wait until it is complete, and return the seconds that took."""
        self.page, self.query = page, urlencode(query)
        return self._run(BackMsg())

    def upload(self, label: str, name: str, content: bytes) -> None:
        """Upload a file in a field of the page, and wait until the page has processed it."""
        place = self.place(name)
        status = self.put(place, name, content)
        assert status == 204, status
        self.announce_upload(label, place, name, len(content))

    def place(self, name: str) -> FileURLs:
        """Ask the server for the address of an upload."""
        message = BackMsg()
        message.file_urls_request.request_id = secrets.token_hex(8)
        message.file_urls_request.file_names.append(name)
        self.socket.send(message.SerializeToString())
        for found in self._messages():
            if found.WhichOneof("type") == "file_urls_response":
                return found.file_urls_response.file_urls[0]
        raise AssertionError("no place for the file")

    def put(self, place: FileURLs, name: str, content: bytes) -> int:
        """Send a file at once; returns the HTTP status."""
        with self.sending(place, name, len(content)) as connection:
            connection.sendall(content)
            return self.end(connection)

    def sending(self, place: FileURLs, name: str, size: int) -> socket.socket:
        """A connection on which a file's bytes are expected next."""
        parts = urlsplit(self.url)
        connection = socket.create_connection(("localhost", parts.port or 80), PATIENCE)
        begin = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        path = urlsplit(place.upload_url).path
        head = (
            f"PUT {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: {self.cookie}\r\n"
            f"X-Xsrftoken: {self.xsrf}\r\nConnection: close\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
            f"Content-Length: {len(begin) + size + len(END)}\r\n\r\n"
        )
        connection.sendall((head + begin).encode())
        return connection

    def end(self, connection: socket.socket) -> int:
        """Send the end of the upload; returns the HTTP status."""
        connection.sendall(END)
        answer = connection.recv(1000)
        return int(answer.split()[1])

    def announce_upload(self, label: str, place: FileURLs, name: str, size: int) -> None:
        """Tell the page that a file has been uploaded."""
        message = BackMsg()
        widget = message.rerun_script.widget_states.widgets.add()
        widget.id = self.seen.uploaders[label]
        info = widget.file_uploader_state_value.uploaded_file_info.add()
        info.name, info.size, info.file_id = name, size, place.file_id
        info.file_urls.CopyFrom(place)
        self._run(message)

    def choose(self, label: str, words: str) -> None:
        """Choose the first option of a select box that begins with ``words``."""
        message = BackMsg()
        widget = message.rerun_script.widget_states.widgets.add()
        widget.id, options = self.seen.boxes[label]
        widget.string_value = next(option for option in options if option.startswith(words))
        self._run(message)

    def _run(self, message: BackMsg) -> float:
        state = message.rerun_script
        state.page_name, state.query_string = self.page, self.query
        self.seen = PageContents()
        started = time.monotonic()
        self.socket.send(message.SerializeToString())
        for found in self._messages():
            kind = found.WhichOneof("type")
            if kind == "delta":
                self._see(found)
            elif kind == "script_finished" and found.script_finished in ENDED:
                break
        return time.monotonic() - started

    def _messages(self) -> Iterator[ForwardMsg]:
        end = time.monotonic() + PATIENCE
        while True:
            content = self.socket.recv(timeout=max(0.0, end - time.monotonic()))
            yield ForwardMsg.FromString(content if isinstance(content, bytes) else b"")

    def _see(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "alert":
            self.seen.said.append(element.alert.body)
        elif kind == "file_uploader":
            self.seen.uploaders[element.file_uploader.label] = element.file_uploader.id
        elif kind == "selectbox":
            box = element.selectbox
            self.seen.boxes[box.label] = box.id, list(box.options)
        elif kind == "button":
            self.seen.buttons.append(element.button.label)
        elif kind == "exception":
            self.seen.exceptions.append(element.exception.message)


END = f"\r\n--{BOUNDARY}--\r\n".encode()
