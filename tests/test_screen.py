"""What a command prints: any terminal, closed streams, a reader that goes away."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasoft import cli
from adasoft.screen import ReaderGone, Screen, fail, shown

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).resolve().parents[1]
ENCODINGS = ("utf-8", "ascii", "cp1252", "latin-1", "cp437", "iso8859-15")


@given(st.text(), st.sampled_from(ENCODINGS))
def test_no_text_stops_a_stream_or_steers_a_terminal(text, encoding):
    out = shown(text, encoding)
    out.encode(encoding)
    controls = {chr(i) for i in [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]}
    assert not controls - set("\n\t") & set(out)
    if text.isascii() and text.isprintable():
        assert out == text


def test_signs_of_our_own_are_spelt_and_others_are_told():
    text = "−1.9 % ≥ 75 % … “a” Mädchen कि"
    assert shown(text, "utf-8") == text
    assert shown(text, "cp1252") == '-1.9 % >= 75 % ... "a" Mädchen \\u0915\\u093f'
    assert shown(text, "ascii") == '-1.9 % >= 75 % ... "a" M\\xe4dchen \\u0915\\u093f'
    assert shown("a\x1b[31mb\x9b\r\x07\x7f\udcc3\u202e", None) == r"a\x1b[31mb\x9b\r\x07\x7f\udcc3\u202e"
    assert shown("50 %\r", "ascii", keep="\r") == "50 %\r"
    # joiners are no controls
    assert shown("क्‍ष", "utf-8") == "क्‍ष"


class Broken(io.StringIO):
    """A stream whose writing fails."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def flush(self):
        raise self.error


def test_what_a_stream_that_fails_does():
    with pytest.raises(ReaderGone):
        Screen(Broken(BrokenPipeError()), output=True).flush()
    with pytest.raises(OSError, match="No space left on device: 'standard output'"):
        Screen(Broken(OSError(28, "No space left on device")), output=True).flush()
    with pytest.raises(OSError, match="the standard output is closed"):
        Screen(None, output=True).write("lost")
    Screen(None, output=True).flush()  # nothing was written
    # progress and errors are no reason to stop
    for stream in (None, Broken(BrokenPipeError()), Broken(OSError(28, "full"))):
        errors = Screen(stream, output=False)
        errors.write("lost")
        errors.flush()
    assert not Screen(None, output=False).isatty()


def test_progress_bars_go_back_and_results_do_not():
    progress, result = io.StringIO(), io.StringIO()
    Screen(progress, output=False).write("\r10 %")
    Screen(result, output=True).write("\r10 %")
    assert progress.getvalue() == "\r10 %" and result.getvalue() == "\\r10 %"


def test_an_error_without_its_stream_goes_to_the_output(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Screen(None, output=False))
    fail("no such file")
    assert capsys.readouterr().out == "no such file\n"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder with texts: words with escape sequences in a file of an awkward name, and accents in another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    lines = "a\x1b[31mb c \x1b]0;gone\x07 d e\nf a g h\n" * 50
    Path("x\x1b[31my;z.txt").write_text(lines)
    Path("Mädchen.txt").write_text("das Mädchen ≥ ein − Mädchen …\n" * 50, encoding="utf-8")
    return tmp_path


def shell(command, **environment):
    """A command of a shell, with `adasoft` for the command line: exit status, output, errors."""
    script = f'adasoft() {{ "{sys.executable}" -W error -m adasoft "$@"; }}\nset -o pipefail\n{command}'
    made = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "", **environment}
    done = subprocess.run(["bash", "-c", script], env=made, capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize(
    ("command", "status", "said", "errors"),
    [
        ("adasoft table | true", 141, "", ""),  # `head -1` may leave only after all of it went into the pipe
        ("adasoft --help | true", 141, "", ""),
        ("adasoft plan nowhere 2>&1 | true", 2, "", ""),
        ("adasoft plan Mädchen.txt > /dev/full", 2, "", ": No space left on device: standard output"),
        ("adasoft plan Mädchen.txt >&-", 2, "", "adasoft: the standard output is closed"),
        ("adasoft plan Mädchen.txt --batch x >&-", 2, "", "--batch/-b should be a whole number, got 'x'"),
        ("adasoft plan nowhere 2>&-", 2, "adasoft plan: 'nowhere' is not a file", ""),
        ("adasoft plan Mädchen.txt --batch x 2>&-", 2, "--batch/-b should be a whole number, got 'x'", ""),
        ("adasoft plan Mädchen.txt 2>&-", 0, "V = 6", ""),
        ("adasoft plan Mädchen.txt >&- 2>&-", 2, "", ""),
    ],
)
def test_streams_that_are_closed_or_full(places, command, status, said, errors):
    found, out, err = shell(command)
    assert found == status and said in out.decode() and errors in err
    assert len(err.splitlines()) == bool(errors)


def test_files_do_not_get_the_number_of_a_closed_stream(tmp_path):
    code = (
        "import os; os.close(2); os.close(0); from adasoft.screen import open_descriptors; open_descriptors();"
        f"print(os.open({str(tmp_path / 'file')!r}, os.O_CREAT))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert int(done.stdout) > 2


def on_a_terminal(monkeypatch, *commands, encoding="utf-8"):
    """Commands in this process, with streams of an encoding: exit statuses, and the bytes of output and errors."""
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in range(2))
    statuses = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", errors)
        for command in commands:
            try:
                statuses.append(cli.main(command))
            except SystemExit as stop:
                statuses.append(stop.code)
    return statuses, out.buffer.getvalue(), errors.buffer.getvalue()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_every_command_on_other_code_pages(places, monkeypatch, encoding):
    tables = [["table", *more] for more in ([], ["--markdown"], ["--by-rank"], ["--commands"])]
    plans = [["plan", "Mädchen.txt"], ["plan", "de", "--max-size", "99"], ["lab", "--print"]]
    benches = [["bench", name, "--help"] for name in ("plan", "cost", "layer", "decode", "train")]
    helps = [["--help"], *([name, "--help"] for name in ("plan", "calibrate", "bench", "train", "table", "lab"))]
    commands = [*tables, *plans, *benches, *helps]
    statuses, out, err = on_a_terminal(monkeypatch, *commands, encoding=encoding)
    assert set(statuses) == {0} and not err
    text = out.decode(encoding)
    assert re.search(r"\(-\d+\.\d %\)", text)  # a minus sign of the short tables
    assert ("Mädchen" if encoding != "ascii" else "M\\xe4dchen") + ": V = 6" in text
    statuses, _, err = on_a_terminal(monkeypatch, ["plan", "Müller ≥.txt"], encoding=encoding)
    assert statuses == [2] and "is not a file" in err.decode(encoding)
    assert ("'M\\xfcller" if encoding == "ascii" else "'Müller") in err.decode(encoding)


def test_the_c_locale(places):
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    found, out, err = shell("adasoft plan Mädchen.txt; adasoft plan Müller.txt", **plain)
    assert found == 2 and rb"M\udcc3\udca4dchen: V = 6" in out and r"'M\udcc3\udcbcller.txt' is not a file" in err


def test_escape_sequences_of_files_stay_there(places, monkeypatch):
    """Names and words of files, the words that a model draws, and progress bars. Without a stream of errors, too."""
    name = "x\x1b[31my;z.txt"
    train = [
        "train",
        "--corpus",
        name,
        *shlex.split("--softmax full --hidden 4 --batch 2 --bptt 16 --epochs 1 --sample 60"),
    ]
    commands = [["plan", name], ["plan", name, "--min-count", "999"], ["plan", name + "/y"], [*train, "--folder", "1"]]
    statuses, out, err = on_a_terminal(monkeypatch, *commands)
    assert statuses == [0, 2, 2, 0] and rb"x\x1b[31my;z: V = 9" in out and rb"a\x1b[31mb" in out
    assert b"epoch 1, perplexity" in err and rb"x\x1b[31my;z.txt/y" in err
    for control in b"\x1b\x07":
        assert control not in out + err
    closed = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        patch.setattr(sys, "stderr", None)
        assert cli.main([*train, "--folder", "2"]) == 0 and cli.main(["plan", "nowhere"]) == 2
    assert "test perplexity" in closed.getvalue() and "'nowhere' is not a file" in closed.getvalue()
