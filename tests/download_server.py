"""A server in this process for tests of downloads: files by path; how it answers is set by the test."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from adasoft.corpora import downloads


class Server(ThreadingHTTPServer):
    """Files by path. ``log``: (path, Range) of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.if_range = True
        """Whether it looks at If-Range before it sends a rest."""
        self.break_after: list[int | None] = []
        """Bytes after which the next answers break off."""
        self.stalls = False
        """Breaks are not ends of the connection: nothing more comes, for a second."""
        self.statuses: list[int] = []
        """Of the next answers."""
        self.raw: list[bytes | None] = []
        """The next answers as they stand, headers and all; None: an answer like the others."""
        self.headers: dict[str, str | None] = {}
        """Further headers, or other ones than usual; None: not sent."""
        self.pace = 0.0
        """Seconds of rest after each 10,000 bytes."""
        self.log: list[tuple[str, str | None]] = []
        self.tags_asked: list[str | None] = []
        """If-Range of every request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *about: object) -> None:
        pass  # a client that was killed


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.log.append((self.path, wanted))
        server.tags_asked.append(self.headers.get("If-Range"))
        raw = server.raw.pop(0) if server.raw else None
        if raw is not None:
            self.wfile.write(raw)
            self.close_connection = True
            return
        data = server.files.get(self.path)
        status = server.statuses.pop(0) if server.statuses else 200 if data is not None else 404
        if status != 200:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        tag = tag_of(data)
        sent: dict[str, str | None] = {"Content-Length": str(len(data))}
        if server.ranges:
            sent |= {"Accept-Ranges": "bytes", "ETag": tag}
        start, code = 0, 200
        if server.ranges and wanted and (not server.if_range or self.headers.get("If-Range", tag) == tag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            code = 206 if start < len(data) else 416
            sent |= {"Content-Length": str(max(0, len(data) - start))}
            sent |= {
                "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}" if code == 206 else f"bytes */{len(data)}"
            }
        self.send_response(code)
        sent |= server.headers
        self.close_connection = sent["Content-Length"] is None  # its end is the end of the file
        for name, value in sent.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        end = server.break_after.pop(0) if server.break_after else None
        body = data[start:] if end is None else data[start : start + end]
        for at in range(0, len(body), 10_000):
            self.wfile.write(body[at : at + 10_000])
            time.sleep(server.pace)
        if end is not None:
            self.wfile.flush()
            self.close_connection = True
            if server.stalls:
                time.sleep(1.0)

    def log_message(self, *args: object) -> None:
        pass


def tag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that answers while it is open; no pauses between tries, no proxies."""
    monkeypatch.setattr(downloads, "_PAUSE", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
