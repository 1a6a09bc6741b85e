"""Downloads: what goes on where it broke off and what begins anew, checksums, hostile and broken servers, kill -9."""

from __future__ import annotations

import errno
import gc
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from download_server import Server, running, tag_of
from full_disk import limited
from hypothesis import given
from hypothesis import strategies as st

from adasoft.corpora import downloads
from adasoft.corpora.downloads import DamagedError, whole_folder
from adasoft.corpora.sources import Members


@pytest.fixture
def server(monkeypatch):
    with running(monkeypatch) as started:
        yield started


CONTENT = random.Random(0).randbytes(300_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


def fetch(server: Server, path: Path, **kw) -> str:
    return downloads.fetch(f"{server.url}/file", path, progress=False, **kw)


def left(path: Path) -> set[str]:
    return {p.name for p in path.parent.iterdir()}


def test_a_download(server, tmp_path):
    server.files["/file"] = CONTENT
    path = tmp_path / "deep" / "f.zip"
    assert fetch(server, path) == SUM
    assert path.read_bytes() == CONTENT
    record = json.loads((path.parent / "f.zip.json").read_text())
    assert record["sha256"] == SUM and record["url"] == f"{server.url}/file"
    assert left(path) == {"f.zip", "f.zip.json"}
    assert fetch(server, path) == SUM and len(server.log) == 1  # there already
    assert fetch(server, path, expected=SUM) == SUM


def test_a_broken_transfer_goes_on_where_it_broke(server, tmp_path):
    server.files["/file"] = CONTENT
    server.break_after = [100_000, 50_000, 0, 1]
    path = tmp_path / "f"
    assert fetch(server, path, expected=SUM) == SUM
    assert path.read_bytes() == CONTENT
    starts = [0 if r is None else int(r[6:-1]) for _, r in server.log]
    assert starts == [0, 100_000, 150_000, 150_000, 150_001]
    assert server.tags_asked == [None, *[tag_of(CONTENT)] * 4]  # the rest of that file, or else the whole
    assert left(path) == {"f", "f.json"}


def test_what_came_is_kept_for_the_next_call(server, tmp_path):
    server.files["/file"] = CONTENT
    server.break_after = [100_000] + [0] * 4
    path = tmp_path / "f"
    with pytest.raises(ConnectionError, match=r"broke off 5 times .*100,000 bytes are kept, and the next call goes on"):
        fetch(server, path)
    assert left(path) == {"f.part", "f.part.tag"} and (tmp_path / "f.part").read_bytes() == CONTENT[:100_000]
    assert fetch(server, path) == SUM
    assert server.log[-1] == ("/file", "bytes=100000-")


def test_a_file_that_changed_meanwhile_is_begun_anew(server, tmp_path):
    server.files["/file"] = b"old" * 100_000
    server.break_after = [100_000] + [0] * 4
    path = tmp_path / "f"
    with pytest.raises(ConnectionError):
        fetch(server, path)
    server.files["/file"] = CONTENT
    assert fetch(server, path) == SUM  # not half of one and half of the other


def test_a_part_that_was_complete_already(server, tmp_path):
    server.files["/file"] = CONTENT
    path = tmp_path / "f"
    (tmp_path / "f.part").write_bytes(CONTENT)
    (tmp_path / "f.part.tag").write_text(f'"{hashlib.md5(CONTENT).hexdigest()}"')
    assert fetch(server, path) == SUM
    # and one that is longer than the file ever was
    path.unlink()
    (tmp_path / "f.part").write_bytes(CONTENT + b"x")
    (tmp_path / "f.part.tag").write_text(f'"{hashlib.md5(CONTENT).hexdigest()}"')
    assert fetch(server, path) == SUM and path.read_bytes() == CONTENT


@pytest.mark.parametrize("weak", [False, True])
def test_a_server_that_cannot_go_on(server, tmp_path, weak):
    server.files["/file"] = CONTENT
    server.ranges = False
    if weak:  # a tag that does not promise the same bytes
        server.headers = {"Accept-Ranges": "bytes", "ETag": 'W/"1"'}
    server.break_after = [1000] * 5
    path = tmp_path / "f"
    with pytest.raises(ConnectionError) as caught:
        fetch(server, path)
    assert "kept" not in str(caught.value) and left(path) == set()
    server.break_after = [1000, 2000]
    assert fetch(server, path) == SUM
    assert all(wanted is None for _, wanted in server.log)


def test_a_server_that_is_busy_and_one_that_refuses(server, tmp_path):
    server.files["/file"] = CONTENT
    server.statuses = [503, 429]
    assert fetch(server, tmp_path / "f") == SUM
    for status in (404, 403):
        server.statuses = [status]
        with pytest.raises(FileNotFoundError, match=f"answers {status} .* Put the file into .*g yourself"):
            fetch(server, tmp_path / "g")
    server.statuses = [500] * 5
    with pytest.raises(ConnectionError, match="the server answers 500"):
        fetch(server, tmp_path / "g")
    assert left(tmp_path / "g") == {"f", "f.json"}


def test_no_network(server, tmp_path):
    port = server.server_address[1] + 1
    import socket

    with socket.socket() as free:  # nobody listens there
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(
            ConnectionError, match=r"cannot be reached.*Without a network: put the file into .*f yourself"
        ):
            downloads.fetch(f"http://127.0.0.1:{port}/file", tmp_path / "f", progress=False)
    assert left(tmp_path / "f") == set()


def test_checksums(server, tmp_path):
    server.files["/file"] = CONTENT
    path = tmp_path / "f"
    with pytest.raises(ValueError, match=f"SHA-256 {SUM} instead of {'0' * 64}. It was deleted"):
        fetch(server, path, expected="0" * 64)
    assert left(path) == set()
    fetch(server, path)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ValueError, match=f"f has changed: SHA-256 .* instead of {SUM}. Delete it"):
        fetch(server, path)
    path.unlink()
    assert fetch(server, path) == SUM
    (tmp_path / "f.json").write_text("{")
    with pytest.raises(ValueError, match=r"f.json is damaged"):
        fetch(server, path)
    # put there by hand: taken as it is, and compared from then on
    mine = tmp_path / "mine"
    mine.write_bytes(b"my own")
    assert fetch(server, mine) == hashlib.sha256(b"my own").hexdigest()
    mine.write_bytes(b"another")
    with pytest.raises(ValueError, match="mine has changed"):
        fetch(server, mine)
    other = tmp_path / "other"
    other.write_bytes(b"my own")
    with pytest.raises(ValueError, match="other has changed"):
        fetch(server, other, expected=SUM)


def test_a_packing_that_the_server_calls_an_encoding_is_kept(server, tmp_path):
    packed = gzip.compress(CONTENT, mtime=0)
    server.files["/file"] = packed
    server.headers = {"Content-Encoding": "x-gzip"}
    server.break_after = [len(packed) // 2]
    fetch(server, tmp_path / "f.tgz")
    assert (tmp_path / "f.tgz").read_bytes() == packed


def test_no_room_for_a_download(server, tmp_path, monkeypatch):
    server.files["/file"] = CONTENT
    path = tmp_path / "f"
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(downloads.shutil, "disk_usage", lambda where: usage._replace(free=1000))
        with pytest.raises(OSError, match="300,000 more bytes are needed, 1,000 are free") as caught:
            fetch(server, path)
    assert caught.value.errno == errno.ENOSPC

    with monkeypatch.context() as patch:
        limited(patch, 100_000)
        patch.setattr(downloads, "_BLOCK", 10_000)
        with pytest.raises(OSError, match="No space left"):
            fetch(server, path)
    kept = (tmp_path / "f.part").stat().st_size
    assert 80_000 < kept <= 100_000
    assert fetch(server, path) == SUM and server.log[-1][1] == f"bytes={kept}-"


# ---- two versions of a file are never glued together

OLD, NEW = CONTENT, random.Random(1).randbytes(300_000)
LONGER = NEW + b"and more"


def broken_off(server: Server, path: Path, at: int = 100_000) -> None:
    """The first ``at`` bytes of the old file are there, and the next call may go on from them."""
    server.files["/file"] = OLD
    server.break_after = [at] + [0] * 4
    with pytest.raises(ConnectionError):
        fetch(server, path)
    server.break_after = []
    assert path.with_name("f.part").read_bytes() == OLD[:at]


def rest(data: bytes, start: int = 100_000, **headers: str | None) -> bytes:
    """An answer that calls itself the rest of a file."""
    sent = {
        "Content-Length": str(len(data) - start),
        "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}",
        "ETag": tag_of(OLD),
        "Accept-Ranges": "bytes",
    }
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}\r\n" for name, value in sent.items() if value is not None]
    return b"HTTP/1.1 206 Partial Content\r\n" + "".join(lines).encode("latin-1") + b"\r\n" + data[start:]


@pytest.mark.parametrize("new", [NEW, LONGER, NEW[:200_000], NEW[:50_000], b""], ids=len)
@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changed_after_the_break(server, tmp_path, new, if_range):
    """Also from a server that honours Range and not If-Range: another tag, often another length."""
    path = tmp_path / "f"
    broken_off(server, path)
    server.files["/file"], server.if_range = new, if_range
    assert fetch(server, path) == hashlib.sha256(new).hexdigest()
    assert path.read_bytes() == new and left(path) == {"f", "f.json"}
    assert json.loads((tmp_path / "f.json").read_text())["sha256"] == hashlib.sha256(new).hexdigest()


@pytest.mark.parametrize(
    "answer",
    [
        rest(NEW, ETag='"another"'),
        rest(NEW, ETag=None),
        rest(NEW, ETag="W/" + tag_of(OLD)),
        rest(LONGER),  # the same tag, another length
        rest(OLD, 99_999),
        rest(OLD, 100_001),
        rest(OLD, 0),
        rest(NEW, Content_Range="bytes 100000-299999/*"),
        rest(NEW, Content_Range=None),
        rest(NEW, Content_Range="bytes 99999-299999/300000"),
        rest(NEW, Content_Range="bytes 100000-300000/300000"),
        rest(NEW, Content_Range="bytes 1000000-299999/300000"),
        rest(NEW, Content_Range="100000-299999/300000"),
        rest(NEW, Content_Range="bytes 100000-299999/300000 "[:-4]),
        rest(NEW, Content_Length="200001"),
        rest(NEW, Content_Length="100000"),
        rest(NEW, Content_Length="many"),
        rest(NEW, Content_Type="multipart/byteranges; boundary=x", Content_Range=None),
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 416 no\r\nContent-Range: bytes */250000\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 416 no\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 nothing\r\n\r\n",
    ],
)
def test_what_is_not_the_rest_of_the_same_file_is_not_taken(server, tmp_path, answer):
    path = tmp_path / "f"
    broken_off(server, path)
    server.raw, server.files["/file"], server.if_range = [answer], NEW, False
    assert fetch(server, path) == hashlib.sha256(NEW).hexdigest()
    assert path.read_bytes() == NEW and left(path) == {"f", "f.json"}


@pytest.mark.parametrize("to", [150_000, 299_999])
def test_a_rest_that_comes_in_pieces(server, tmp_path, to):
    path = tmp_path / "f"
    broken_off(server, path)
    piece = rest(OLD, Content_Range=f"bytes 100000-{to - 1}/300000", Content_Length=str(to - 100_000))
    server.raw = [piece[: to - 300_000]]
    assert fetch(server, path) == SUM and path.read_bytes() == OLD
    assert server.log[-1][1] == f"bytes={to}-"


@pytest.mark.parametrize("start", [0, 99_999, 100_001, 200_000])
def test_a_rest_from_another_place_is_not_taken(server, tmp_path, start):
    """Of the same file, and yet not what was asked for: the next rest would make its length right again."""
    path = tmp_path / "f"
    broken_off(server, path)
    server.raw = [rest(OLD, start)]
    assert fetch(server, path, expected=SUM) == SUM and path.read_bytes() == OLD


def test_a_rest_nobody_asked_for_is_not_the_file(server, tmp_path):
    """A 206 to a request for the whole: only a piece of it, whatever its length says."""
    server.files["/file"] = CONTENT
    piece = rest(CONTENT[:1000], 0, Content_Range="bytes 0-999/300000", ETag=None, Accept_Ranges=None)
    server.raw = [piece]
    assert fetch(server, tmp_path / "f") == SUM and (tmp_path / "f").read_bytes() == CONTENT
    server.raw = [piece] * 5
    with pytest.raises(ConnectionError, match=r"answers 206 .* bytes 0-999/300000 to a request for the whole file"):
        fetch(server, tmp_path / "g")
    assert left(tmp_path / "g") == {"f", "f.json"}


def test_a_part_of_another_address_is_begun_anew(server, tmp_path):
    """Two servers may give two files one tag, as with dates."""
    path = tmp_path / "f"
    broken_off(server, path)
    server.files["/other"] = NEW
    server.headers, server.if_range = {"ETag": tag_of(OLD)}, False
    assert downloads.fetch(f"{server.url}/other", path, progress=False) == hashlib.sha256(NEW).hexdigest()


def test_without_a_length_the_tag_alone_must_fit(server, tmp_path):
    """An answer in chunks does not tell its length; broken off, it can still go on."""
    path = tmp_path / "f"
    head = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nAccept-Ranges: bytes\r\n"
        b"ETag: " + tag_of(OLD).encode() + b"\r\n\r\n"
    )
    server.raw = [head + b"186a0\r\n" + OLD[:100_000]]
    server.files["/file"] = OLD
    server.headers = {"Content-Range": "bytes 100000-299999/*"}
    assert fetch(server, path) == SUM and path.read_bytes() == OLD
    assert [wanted for _, wanted in server.log] == [None, "bytes=100000-"]


VERSIONS = [random.Random(i).randbytes(n) for i, n in enumerate((3_000, 3_000, 2_000, 4_000))]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 4_000),
            st.booleans(),
            st.booleans(),
            st.sampled_from([{}, {"ETag": None}, {"ETag": 'W/"1"'}, {"Content-Range": None}, {"Content-Length": None}]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_drawn_servers_give_one_file_whole_or_none(tmp_path_factory, answers):
    """Files that change between answers, breaks, servers that honour only a part of the protocol."""
    path = tmp_path_factory.mktemp("d") / "f"
    with pytest.MonkeyPatch.context() as patch, running(patch) as server:
        for version, end, ranges, if_range, headers in answers:
            server.files["/file"] = VERSIONS[version]
            server.ranges, server.if_range, server.headers = ranges, if_range, dict(headers)
            server.break_after = [end] + [0] * 4 if end < len(VERSIONS[version]) else []
            try:
                found = fetch(server, path)
            except ConnectionError:
                continue
            # a length that nobody told cannot be missed: an end is an end
            if headers != {"Content-Length": None}:
                assert path.read_bytes() in VERSIONS and found == hashlib.sha256(path.read_bytes()).hexdigest()
            path.unlink()


# ---- connections that stall, and headers that are damaged


def test_a_stalled_connection_loses_no_block(server, tmp_path, monkeypatch):
    """What came before the silence counts, though it fills no block: a slow line gets there in the end."""
    monkeypatch.setattr(downloads, "_TIMEOUT", (5, 0.1))
    server.files["/file"], server.stalls = CONTENT, True
    server.break_after = [90_000, 90_001, 90_002]
    path = tmp_path / "f"
    assert fetch(server, path) == SUM
    assert [wanted for _, wanted in server.log] == [None, "bytes=90000-", "bytes=180001-", "bytes=270003-"]


def test_a_server_that_gives_the_same_beginning_for_ever_is_given_up(server, tmp_path):
    """Pieces that are no rest begin anew; that is no progress."""
    server.files["/file"], server.if_range = CONTENT, False
    server.headers = {"Content-Range": "bytes 0-1/2"}
    server.break_after = [100_000] * 50
    with pytest.raises(ConnectionError, match="broke off 5 times"):
        fetch(server, tmp_path / "f")
    assert len(server.log) < 15


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: many",
        b"Content-Length: -5",
        b"Content-Length: 1e3",
        b"Content-Length: 10, 20",
        b"Content-Length: " + "٣".encode(),
        b"Content-Length: 0x10",
        b"Content-Length: +5",
        b"Content-Length: ",
        b"Content-Length: " + b"9" * 5000,
    ],
)
def test_a_damaged_header_is_named_with_its_address(server, tmp_path, header):
    raw = b"HTTP/1.1 200 OK\r\n" + header + b'\r\nETag: "x"\r\nAccept-Ranges: bytes\r\n\r\nhello'
    server.raw = [raw] * 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # urllib3 leaves the socket of an answer that it refuses open
        with pytest.raises(ConnectionError, match=r"http://127.0.0.1:\d+/file .*(Content-Length|InvalidHeader)"):
            fetch(server, tmp_path / "f")
        assert left(tmp_path / "f") == set()
        server.files["/file"] = CONTENT
        server.raw = [raw]  # a passing fault
        assert fetch(server, tmp_path / "f") == SUM
        gc.collect()


@pytest.mark.parametrize("tag", ["x\x01", 'W/"1"', 'w/"1"', "", "é"])
def test_a_tag_that_cannot_be_asked_with_is_none(server, tmp_path, tag):
    server.files["/file"] = CONTENT
    server.headers = {"ETag": tag}
    server.break_after = [100_000]
    assert fetch(server, tmp_path / "f") == SUM
    assert [wanted for _, wanted in server.log] == [None, None]


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"tag"',
        b"{}",
        b'{"url": 1, "tag": "x", "total": 2}',
        b"\xff\xfe\x00",
        b'{"url": "%s", "tag": "a\\nb", "total": null}',
        b'{"url": "%s", "tag": "x", "total": -1}',
        b'{"url": "%s", "tag": "x", "total": "9"}',
        b"[" * 5000,
    ],
)
def test_a_damaged_note_beside_a_part_begins_anew(server, tmp_path, kept):
    path = tmp_path / "f"
    (tmp_path / "f.part").write_bytes(OLD[:100_000])
    (tmp_path / "f.part.tag").write_bytes(kept.replace(b"%s", f"{server.url}/file".encode()))
    server.files["/file"] = NEW
    assert fetch(server, path) == hashlib.sha256(NEW).hexdigest() and left(path) == {"f", "f.json"}


@pytest.mark.parametrize(
    "address", ["127.0.0.1/file", "ftp://127.0.0.1/file", "http://", "http://[/x", "file:///etc/x"]
)
def test_what_is_no_address_is_said(tmp_path, address):
    with pytest.raises(ValueError, match=r"url should be .*http.*ADASOFT_CORPORA") as caught:
        downloads.fetch(address, tmp_path / "f", progress=False)
    assert address in str(caught.value) and left(tmp_path / "f") == set()


@pytest.mark.parametrize(
    "record",
    ["", "[]", "null", "[" * 3000, "{}", '{"sha256": 5}', '{"sha256": null}', '{"sha256": "abc"}', "\0\0\0"],
    ids=lambda r: r[:12],
)
def test_a_damaged_record_is_named_and_what_to_do(server, tmp_path, record):
    server.files["/file"] = CONTENT
    path = tmp_path / "f"
    fetch(server, path)
    (tmp_path / "f.json").write_text(record)
    with pytest.raises(ValueError, match=r"f\.json is damaged: .*; delete it if you trust f beside it"):
        fetch(server, path)
    assert path.read_bytes() == CONTENT


# ---- processes that are killed, and several at once


def told(code: str, *arguments: object, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **more},
    )


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_download_goes_on(server, tmp_path):
    server.files["/file"] = CONTENT
    path = tmp_path / "f"
    code = (
        "import sys; from pathlib import Path; from adasoft.corpora import downloads\n"
        "print(downloads.fetch(sys.argv[1], Path(sys.argv[2]), progress=False))"
    )
    kept = 0
    for _ in range(2):
        server.pace = 0.02
        process = told(code, f"{server.url}/file", path)
        part, deadline = tmp_path / "f.part", time.monotonic() + 60
        while not part.exists() or part.stat().st_size < kept + 40_000:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = part.stat().st_size
        assert part.read_bytes() == CONTENT[:kept]
    server.pace = 0.0
    assert fetch(server, path) == SUM and left(path) == {"f", "f.json"}
    starts = [0 if wanted is None else int(wanted[6:-1]) for _, wanted in server.log]
    assert len(starts) == 3 and 0 < starts[1] < starts[2] == kept


@pytest.mark.parametrize("when", ["before the new tag", "before the file has its name", "before the note goes"])
def test_killed_between_two_steps(server, tmp_path, when):
    """Whatever lies there then, the next call ends with the server's file and nothing beside it."""
    path = tmp_path / "f"
    server.files["/file"] = NEW
    note = json.dumps({"url": f"{server.url}/file", "tag": tag_of(NEW), "total": len(NEW)})
    if when == "before the new tag":  # the old part is gone before the new file's tag is there
        broken_off(server, path)
        server.files["/file"] = NEW
        server.raw = [None]

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(downloads, "write_whole", killed)
            fetch(server, path)
        assert not (tmp_path / "f.part").exists() or (tmp_path / "f.part").read_bytes() == b""
    elif when == "before the file has its name":
        (tmp_path / "f.part").write_bytes(NEW)
        (tmp_path / "f.part.tag").write_text(note)
        (tmp_path / "f.json").write_text(json.dumps({"url": "x", "sha256": hashlib.sha256(NEW).hexdigest()}))
    else:
        fetch(server, path)
        (tmp_path / "f.part.tag").write_text(note)
    server.log.clear()
    assert fetch(server, path) == hashlib.sha256(NEW).hexdigest() and left(path) == {"f", "f.json"}
    assert len(server.log) == (1 if when == "before the new tag" else 0)


def test_three_processes_at_one_file(server, tmp_path):
    """One downloads, the others wait for it and take what it got."""
    server.files["/wikitext-2/train.txt"] = server.files["/wikitext-2/valid.txt"] = b"a b c\n" * 20_000
    server.files["/wikitext-2/test.txt"] = b"a b\n" * 30_000
    server.pace = 0.01
    code = (
        "from dataclasses import replace; from adasoft.corpora import NAMES, load\n"
        "from adasoft.corpora.names import File\n"
        "k = NAMES['wikitext-2']; NAMES['wikitext-2'] = replace(k, files=tuple(File(f.url) for f in k.files))\n"
        "print(load('wikitext-2', progress=False).digest)"
    )
    started = [told(code, ADASOFT_CACHE=str(tmp_path), ADASOFT_CORPORA=server.url) for _ in range(3)]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    assert len({out for out, _ in ended}) == 1 and len(server.log) == 3
    assert not list(tmp_path.rglob("*.part*"))


# ---- archives that lead elsewhere


def hostile_tar(path: Path) -> None:
    import tarfile

    with tarfile.open(path, "w:gz") as archive:

        def add(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", text: bytes = b"") -> None:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(text)
            archive.addfile(member, io.BytesIO(text))

        for name in ("../text", "/tmp/text", "a/../../text", "C:\\text", "text\x1b[2J"):
            add(name, text=f"in {name}\n".encode())
        add("link/text", tarfile.SYMTYPE, "/etc/passwd")
        add("hard/text", tarfile.LNKTYPE, "/etc/passwd")
        add("out", tarfile.SYMTYPE, "..")
        add("out/text", text=b"through a link\n")
        add("fifo/text", tarfile.FIFOTYPE)
        add("device/text", tarfile.CHRTYPE)
        add("folder/text", tarfile.DIRTYPE)


def hostile_zip(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../text", "/tmp/text", "a/../../text", "C:\\text"):
            archive.writestr(name, f"in {name}\n")
        link = zipfile.ZipInfo("link/text")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")


@pytest.mark.parametrize("make", [hostile_tar, hostile_zip])
def test_archives_that_lead_elsewhere_are_only_read(tmp_path, make):
    """Nothing is unpacked, links are not followed: a member is its own bytes, whatever its name."""
    inside = tmp_path / "deep" / "er"
    inside.mkdir(parents=True)
    make(inside / "archive")
    before = sorted(tmp_path.rglob("*"))
    texts = [stream.read().decode() for _, stream, _ in Members(inside / "archive", r"(?s).*text.*")]
    assert sorted(tmp_path.rglob("*")) == before
    assert texts[:3] == ["in ../text\n", "in /tmp/text\n", "in a/../../text\n"]
    assert "root:" not in "".join(texts)
    assert texts[-1] == ("through a link\n" if make is hostile_tar else "/etc/passwd") and len(texts) <= 6


# ---- folders written whole


def test_folders_that_killed_processes_left_are_cleared(tmp_path):
    """Of other texts, too, which nobody asks for again; not those that a process is at work on."""
    from filelock import FileLock

    for name in ("gone.part", "busy.part", "once-old", "once-new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ids").write_text("half")
    os.utime(tmp_path / "once-old", (0, 0))
    (tmp_path / "a file.part").write_text("somebody's")

    def make(folder: Path) -> None:
        (folder / "x").write_text("1")

    with FileLock(tmp_path / "busy.lock"):
        assert whole_folder(tmp_path / "mine", make, lambda folder: (folder / "x").read_text()) == "1"
    kept = {p.name for p in tmp_path.iterdir() if p.suffix != ".lock"}
    assert kept == {"mine", "busy.part", "once-new", "a file.part"}


def test_a_folder_that_stays_damaged_is_an_error(tmp_path):
    def read(folder: Path) -> None:
        raise DamagedError("always")

    (tmp_path / "f").mkdir()
    with pytest.warns(RuntimeWarning, match=r"f is damaged \(always\); making it again"), pytest.raises(DamagedError):
        whole_folder(tmp_path / "f", lambda folder: None, read)
