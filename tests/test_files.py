"""Files written whole or not at all, whatever breaks off; and what is read back refused by name."""

from __future__ import annotations

import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasoft import files as F

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")
not_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")


# ---------------------------------------------------------------------- writing


@pytest.mark.parametrize("content", ["text é\n", b"bytes\0\r\n", lambda path: path.write_bytes(b"by a function")])
def test_a_file_is_written_with_its_folders_and_replaced(tmp_path, content):
    path = tmp_path / "a" / "b" / "file"
    F.write_whole(path, content)
    expected = b"by a function" if callable(content) else content.encode() if isinstance(content, str) else content
    assert path.read_bytes() == expected
    F.write_whole(str(path), "second")
    assert path.read_text() == "second" and os.listdir(path.parent) == ["file"]


class _Broken(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ValueError("no"), KeyboardInterrupt(), _Broken()]
)
@pytest.mark.parametrize("there", [False, True])
def test_what_breaks_off_leaves_the_old_file_and_no_part(tmp_path, error, there):
    path = tmp_path / "file"
    if there:
        path.write_text("old")

    def writer(part):
        part.write_text("half")
        assert not path.exists() or path.read_text() == "old"
        raise error

    with pytest.raises(type(error)) as caught:
        F.write_whole(path, writer)
    assert os.listdir(tmp_path) == (["file"] if there else [])
    assert not there or path.read_text() == "old"
    if isinstance(error, OSError):
        assert str(path) in str(caught.value) and ".part" not in str(caught.value)


def test_text_that_cannot_be_encoded_touches_nothing(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        F.write_whole(tmp_path / "file", "\ud800")
    assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]


@posix
def test_the_new_file_is_on_the_disk_before_it_takes_the_old_ones_place(tmp_path, monkeypatch):
    """A power failure between rename and sync is what leaves an empty file: first the file, then the name, then the
    folder."""
    told = []
    sync, replace = os.fsync, os.replace

    def fsync(number):
        about = os.fstat(number)
        told.append("folder" if stat.S_ISDIR(about.st_mode) else f"file of {about.st_size}")
        sync(number)

    def rename(a, b):
        told.append("rename")
        replace(a, b)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    F.write_whole(tmp_path / "file", "12345")
    assert told == ["file of 5", "rename", "folder"]


@posix
def test_links_stay_and_permissions_stay(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    F.write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o600
    F.write_whole(tmp_path / "fresh", "")
    os.umask(before := os.umask(0))
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o666 & ~before


@posix
@pytest.mark.parametrize("content", ["through", lambda path: path.write_text("through")])
def test_a_pipe_or_device_is_written_to_not_replaced(tmp_path, content):
    """What root would do to /dev/null or /dev/stdout; tried on a pipe of our own."""
    pipe, heard = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()), daemon=True)
    reader.start()
    F.write_whole(pipe, content)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and os.listdir(tmp_path) == ["pipe"]
    reader.join(10)
    assert heard == ["through"]


def test_errors_name_the_file_that_was_asked_for(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(IsADirectoryError, match=r"folder'$"):
        (tmp_path / "folder").mkdir()
        F.write_whole(tmp_path / "folder", "x")
    with pytest.raises(OSError, match=r"inside'$"):
        F.write_whole(tmp_path / "file" / "inside", "x")
    with pytest.raises(OSError, match=r"file'$"):
        F.writable_folder(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"
    made = F.writable_folder(tmp_path / "new" / "er")
    assert made.is_dir() and not os.listdir(made)


@not_root
def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=rf"{tmp_path}'$"):
            F.writable_folder(tmp_path)
        with pytest.raises(PermissionError, match=r"file'$"):
            F.write_whole(tmp_path / "file", "x")
    finally:
        tmp_path.chmod(0o700)


def test_writes_at_once_do_not_meet(tmp_path):
    path, errors = tmp_path / "file", []

    def write(letter):
        try:
            for _ in range(20):
                F.write_whole(path, letter * 1000)
                assert len(set(path.read_text())) == 1 and path.stat().st_size == 1000
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and os.listdir(tmp_path) == ["file"]


@posix
def test_part_files_of_killed_processes_go_with_the_next_write(tmp_path):
    script = (
        "import sys, time; from adasoft.files import write_whole\n"
        "write_whole(sys.argv[1], lambda part: (part.write_text('half'), print(flush=True), time.sleep(60)))"
    )
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "file")], stdout=subprocess.PIPE)
        process.stdout.readline()
        # while it lives, its part stays
        F.write_whole(tmp_path / "other", "x")
        assert len(list(tmp_path.glob("file.*.part"))) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert len(list(tmp_path.glob("*.part"))) == 1
    F.write_whole(tmp_path / "other", "x")
    assert os.listdir(tmp_path) == ["other"]


def test_part_files_of_other_machines_go_after_a_day(tmp_path):
    """In a folder that two machines share a process number says nothing. What else is called .part is not ours."""
    names = ["file.00000000-1-0.part", "words.tgz.part", "file.123.part", "file.00000000-1-0.part.tag"]
    for name in names:
        (tmp_path / name).write_text("x")
    F.remove_stale_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    for name in names:
        os.utime(tmp_path / name, (time.time() - 90_000,) * 2)
    F.remove_stale_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(names[1:])
    F.remove_stale_parts(tmp_path / "none")


def test_part_files_of_an_earlier_adasoft_go_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    for folder in (tmp_path / "cache" / "runs", tmp_path / "own"):
        folder.mkdir(parents=True)
        for name, age in (("old.123.part", 90_000), ("new.123.part", 0), ("words.tgz.part", 90_000)):
            (folder / name).write_text("x")
            os.utime(folder / name, (time.time() - age,) * 2)
        F.remove_stale_parts(folder)
    assert sorted(os.listdir(tmp_path / "cache" / "runs")) == ["new.123.part", "words.tgz.part"]
    assert len(os.listdir(tmp_path / "own")) == 3


def test_a_folder_is_tried_by_a_file_with_something_in_it(tmp_path, monkeypatch):
    """On a full disk folders and empty files can still be made."""

    def full(path, data):
        raise OSError(28, "No space left on device") if data else None

    monkeypatch.setattr(F.Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        F.writable_folder(tmp_path / "new")
    assert os.listdir(tmp_path / "new") == []


def test_a_checksum_is_of_everything_but_itself():
    record = {"date": "2026", "device": {"name": "x", "cores": 2}, "samples": [1, 2]}
    whole = F.checksum(record)
    assert F.checksum(record | {"sha256": whole}) == whole == F.checksum(dict(reversed(record.items())))
    changed = [{"date": "2027"}, {"device": {"name": "x", "cores": 3}}, {"samples": [2, 1]}, {"more": None}]
    assert len({whole, *(F.checksum(record | change) for change in changed)}) == 5


# ---------------------------------------------------------------------- reading

finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(found=st.dictionaries(st.text(), values, max_size=4), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_was_written_is_read(tmp_path_factory, found, encoding):
    path = tmp_path_factory.getbasetemp() / "drawn.json"
    path.write_bytes(json.dumps(found).encode(encoding))
    assert F.read_json(path) == found


@given(found=st.dictionaries(st.text(), values, min_size=1), cut=st.integers(1, 10**6), zeros=st.booleans())
def test_what_is_cut_off_or_zeroed_is_refused(tmp_path_factory, found, cut, zeros):
    path = tmp_path_factory.getbasetemp() / "drawn.json"
    data = json.dumps(found).encode()
    left = data[: cut % len(data)]
    path.write_bytes(left + b"\0" * (len(data) - len(left)) if zeros else left)
    with pytest.raises(F.DamagedFile, match=r"drawn\.json is damaged: .*; delete it$"):
        F.read_json(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\0" * 4096, "it is empty"),
        (b" \n", "it is empty"),
        (b"[]", r"it should hold an object, got \[\]"),
        (b"null", "it should hold an object, got None"),
        (b"3", "it should hold an object, got 3"),
        (b'{"a": ', "not JSON"),
        (b"{} {}", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (bytes(range(256)), "not JSON"),
        ("[]".encode("utf-16"), "it should hold an object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
        (b'{"a": ' * 101 + b"1" + b"}" * 101, "nested at most 100 deep"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested at most 100 deep"),
        (b'{"a": NaN}', "a should be a finite number, got nan"),
        (b'{"a": {"b": [[], [1, -Infinity]]}}', r"a\.b\[1\]\[1\] should be a finite number, got -inf"),
        (b'{"a": 1, "b": 1e999}', "b should be a finite number, got inf"),
        (b'{"a": 1' + b"0" * 400 + b"}", "a should be a finite number, got inf"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "a should be a finite number, got inf"),
        (b'{"a": 1, "b": 2, "a": 3}', "the name 'a' should occur once"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "stored.json"
    path.write_bytes(content)
    with pytest.raises(F.DamagedFile, match=rf"stored\.json is damaged: .*{message}.*; make it again$") as caught:
        F.read_json(path, remedy="make it again")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400 and caught.value.path == path


def test_limits_and_kinds_of_what_is_read(tmp_path):
    path = tmp_path / "stored.json"
    path.write_text('{"a": ' + "[" * 99 + "]" * 99 + "}")
    F.read_json(path)
    path.write_text("[1, NaN]")
    assert len(F.read_json(path, kind=list, finite=False)) == 2
    with pytest.raises(F.DamagedFile, match="at most 7 bytes, got 8"):
        F.read_json(path, largest=7)
    with pytest.raises(F.DamagedFile, match="it should be a file, got a folder; delete it"):
        F.read_json(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        F.read_json(tmp_path / "none.json")


@posix
def test_a_pipe_in_a_files_place_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(F.DamagedFile, match="got a device or a pipe"):
        F.read_json(tmp_path / "pipe")


@not_root
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "stored.json"
    path.write_text("{}")
    path.chmod(0)
    with pytest.raises(PermissionError, match=r"stored\.json"):
        F.read_json(path)


FOUND = {"o": {"n": 3, "x": 1.5, "t": "text", "b": True, "l": [1], "none": None}, "s": []}


@pytest.mark.parametrize(
    ("names", "kind", "value"),
    [
        (("o", "n"), int, 3),
        (("o", "n"), float, 3.0),
        (("o", "x"), float, 1.5),
        (("o", "t"), str, "text"),
        (("o", "b"), bool, True),
        (("o", "l"), list, [1]),
        (("s",), list, []),
    ],
)
def test_entries_are_read(names, kind, value):
    found = F.entry(FOUND, *names, kind=kind, path="p.json")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("names", "arguments", "message"),
    [
        (("o", "m"), {"kind": int}, "o.m is missing"),
        (("q", "m"), {"kind": int}, "q is missing"),
        (("s", "m"), {"kind": int}, r"s should be an object, got \[\]"),
        (("s",), {"kind": dict}, r"s should be an object, got \[\]"),
        (("o", "none"), {"kind": str}, "o.none should be a text, got None"),
        (("o", "b"), {"kind": int}, "o.b should be a whole number, got True"),
        (("o", "b"), {"kind": float}, "o.b should be a finite number, got True"),
        (("o", "n"), {"kind": bool}, "o.n should be true or false, got 3"),
        (("o", "x"), {"kind": int}, "o.x should be a whole number, got 1.5"),
        (("o", "t"), {"kind": float}, "o.t should be a finite number, got 'text'"),
        (("o", "n"), {"kind": int, "least": 4}, "o.n should be a whole number of at least 4, got 3"),
        (("o", "x"), {"kind": float, "most": 1}, "o.x should be a finite number of at most 1, got 1.5"),
        (("o", "x"), {"kind": float, "least": 0, "most": 1}, "of at least 0 and at most 1, got 1.5"),
    ],
)
def test_entries_are_refused_by_name(names, arguments, message):
    with pytest.raises(F.DamagedFile, match=rf"^p\.json is damaged: .*{message}; delete it$"):
        F.entry(FOUND, *names, path="p.json", **arguments)


def test_a_not_finite_number_is_no_entry():
    for value in (float("nan"), float("inf")):
        with pytest.raises(F.DamagedFile, match="a should be a finite number"):
            F.entry({"a": value}, "a", kind=float, path="p.json")


def test_values_in_errors_are_short_and_harmless():
    assert F.short("a" * 10_000).endswith("...'") or len(F.short("a" * 10_000)) < 80
    assert "\x1b" not in F.short("\x1b[31mred") and len(F.short({i: "x" * 99 for i in range(999)})) < 500


def test_a_damaged_file_cannot_command_a_terminal_and_travels_between_processes():
    error = F.DamagedFile("a\x1b[2J.json", "the name \x9b é \ud800 is odd", "delete it")
    assert str(error) == r"a\x1b[2J.json is damaged: the name \x9b é \ud800 is odd; delete it"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is F.DamagedFile and str(again) == str(error) and again.path == error.path
