"""The command line, and the project as a stranger meets it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

import adasoft
from adasoft import bench, cli
from adasoft.cli import bench as bench_command
from adasoft.cli import lab
from adasoft.cli.training_options import SETTINGS, command_of, corpus_of, settings_of
from adasoft.results.suite import SUITE

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.usefixtures("one_thread")
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


def run(*arguments, capsys):
    status = cli.main(list(arguments))
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.mark.parametrize("source", ["en", "de", "fi", "synthetic:1000000"])
def test_plan_of_a_language_within_three_seconds(source):
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "adasoft", "plan", source], capture_output=True, text=True, check=True)
    # 3 s is the bound on an idle machine; twice that on one that runs tests beside
    assert time.perf_counter() - started < 6
    assert "times faster than the full softmax" in done.stdout and "recorded machine" in done.stdout


@pytest.mark.skipif(not SHARED.exists(), reason="the corpora for development are not beside this checkout")
def test_plan_of_a_real_text(capsys):
    started = time.perf_counter()
    status, out, _ = run("plan", str(SHARED / "wikitext-2" / "train.txt.xz"), "--eos", "<eos>", capsys=capsys)
    assert status == 0 and "V = 33,278" in out and time.perf_counter() - started < 10


def test_plan_of_files_and_json(tmp_path, capsys):
    text = tmp_path / "text.txt.gz"
    text.write_bytes(gzip.compress(b"a b a c\nb a d e f g\n" * 50))
    status, out, _ = run("plan", str(text), "--eos", "<eos>", "--tails", "2", "-d", "32", capsys=capsys)
    assert status == 0 and "V = 8" in out
    counts = tmp_path / "counts.tsv"
    counts.write_text("".join(f"w{i}\t{1000 // (i + 1)}\n" for i in range(300)), encoding="utf-8")
    target = tmp_path / "made" / "plan.json"
    status, out, _ = run("plan", str(counts), "--tails", "1", "--json", str(target), "--max-size", "200", capsys=capsys)
    data = json.loads(target.read_text())
    assert status == 0 and data["n_classes"] == 200 and len(data["cutoffs"]) == 1 and data["order"] is None
    status, out, _ = run("plan", str(counts), "--tails", "1", "--json", "-", capsys=capsys)
    assert json.loads(out)["n_classes"] == 300
    run("plan", str(counts), "-j", "2", "--width-ratio", "2", "--json", str(target), capsys=capsys)
    assert json.loads(target.read_text())["widths"] == [256, 128]


def test_plan_prints_the_front_of_time_and_capacity(capsys):
    status, out, _ = run("plan", "synthetic:50000", "--front", "--widths", "128,64,32", "--align", "8", capsys=capsys)
    lines = out.splitlines()
    assert status == 0 and "widths of the tails: [128, 64, 32]" in lines[1]
    assert lines[3].split() == ["mean", "width", "head", "holds", "time", "speedup", "cutoffs"]
    assert lines[-1].split()[:2] == ["512", "100.0%"] and lines[-1].endswith(" 1.0  none: the full softmax")
    widths = [int(line.split()[0]) for line in lines[4:]]
    assert widths == sorted(widths) and len(widths) > 5 and len(lines[4].split("  ")[-1].split(", ")) == 3
    assert run("plan", "synthetic:5000", "--front", "--tails", "1", capsys=capsys)[0] == 0
    for more in (("--json", "-"), ("--opened", "0.1"), ("--embedding",), ("--min-head-share", "0.8")):
        status, _, err = run("plan", "synthetic:5000", "--front", *more, capsys=capsys)
        assert status == 2 and f"{more[0]} is for a single plan" in err


def test_plan_for_decoding_and_with_input_words(capsys):
    said = {}
    for opened in ("1", "0.05"):
        options = ("--objective", "decode", "--tails", "2", "--opened", opened, "--embedding")
        status, out, _ = run("plan", "synthetic:100000", *options, capsys=capsys)
        assert status == 0 and "adaptive, words tied" in out and "of full" in out
        said[opened] = float(next(line for line in out.splitlines() if line.startswith("layer")).split()[-2])
    assert said["0.05"] < said["1"]  # ms
    status, out, _ = run("plan", "en", "--objective", "decode", "-j", "2", "--opened", "0.2,0.1", capsys=capsys)
    assert status == 0 and "cutoffs" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "en", "--opened", "0.1"], "opened should be 1 for objective='train' (it is for 'decode'), got 0.1"),
        (["plan", "en", "--opened", "few"], "--opened should be numbers like 0.2,0.1, got 'few'"),
        (["plan", "nowhere.txt"], "is not a file, nor a language of wordfreq"),
        (["plan", "de", "--min-count", "5"], "--min-count 5 leaves no word but <unk>: the largest count is 0.0"),
        (["table", "--rows", "full"], "--rows is for what --run CORPUS trains"),
        (["plan", "synthetic:many"], "needs a whole number of words, got 'many'"),
        (["plan", "en", "--tails", "-1"], "n_tails should be an integer of at least 0, got -1"),
        (["plan", "en", "--widths", "a,b"], "--widths should be numbers"),
        (["plan", "en", "--device", "cuda", "--dtype", "float64"], "calibrate --device cuda"),
        (["plan", "en", "--record", "none.json"], "none.json"),
        (["calibrate", "--dtype", "int8"], "dtype should be float32"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(arguments, message, capsys):
    status, _, err = run(*arguments, capsys=capsys)
    assert status == 2 and message in err and len(err.strip().splitlines()) == 1


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("plan", "calibrate", "bench", "lab", "plan en"))
    with pytest.raises(SystemExit):
        cli.main(["plan", "en", "--frobnicate"])


def test_lab_turns_the_look_ups_off(tmp_path, capsys):
    command = " ".join(lab.lab_command(ROOT / "notebooks", ["--no-browser"]))
    assert "news_url=None" in command and "NeverCheckForUpdate" in command and "extension_manager=readonly" in command
    assert command.endswith("00_start_here.ipynb") and "--no-browser" in command
    environment = lab.lab_environment()
    folder = Path(environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
    settings = json.loads((folder / "labconfig" / "default_setting_overrides.json").read_text())
    assert settings["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
    assert run("lab", "--print", capsys=capsys)[1].count("jupyterlab") >= 1


def test_import_is_quick_and_light():
    """Under 0.3 s, and no torch, plotly, scipy or wordfreq until one is needed. numpy is not needed either."""
    code = (
        "import time, sys; t = time.perf_counter(); import adasoft; t = time.perf_counter() - t;"
        "heavy = [m for m in ('torch', 'plotly', 'wordfreq', 'scipy', 'ipywidgets') if m in sys.modules];"
        "adasoft.plan; adasoft.Vocabulary;"
        "assert 'torch' not in sys.modules and 'plotly' not in sys.modules;"
        "print(t, heavy)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    seconds, heavy = out.split(maxsplit=1)
    assert float(seconds) < 0.3 and heavy.strip() == "[]"


def test_planning_needs_no_torch():
    code = (
        "import sys; import adasoft; from adasoft.cli import main; main(['plan', 'synthetic:20000']);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)


def test_public_names_exist_and_are_documented():
    for name in adasoft.__all__:
        value = getattr(adasoft, name)
        assert name == "__version__" or value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        adasoft.nonsense  # noqa: B018
    assert set(adasoft.__all__) <= set(dir(adasoft))


def test_the_card():
    """Top level as agreed, and one version."""
    allowed = {
        "requirements.txt",
        "notebooks",
        "adasoft",
        "tests",
        "data",
        "README.md",
        "pyproject.toml",
        "LICENSE",
        ".gitignore",
        ".ci",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        ".pre-commit-config.yaml",
    }
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} <= allowed
    assert f'version = "{adasoft.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert "torch==2.13.0" in (ROOT / "requirements.txt").read_text()


def test_bench_tables_and_files(tmp_path, monkeypatch, capsys):
    """Each benchmark from end to end at sizes of a moment."""
    words = adasoft.Vocabulary.synthetic(2000)
    monkeypatch.setattr(adasoft.Vocabulary, "synthetic", staticmethod(lambda *a, **k: words))
    for what in ("layer", "cost", "plan"):
        target = tmp_path / f"{what}.json"
        tiny = [] if what == "plan" else ["--tiny"]
        status, out, _ = run("bench", what, *tiny, "--rounds", "1", "--json", str(target), capsys=capsys)
        record = json.loads(target.read_text())
        assert status == 0 and record["bench"] == what and record["rows"] and record["date"] and record["adasoft"]
        assert out.splitlines()
    assert {row["what"] for row in json.loads((tmp_path / "layer.json").read_text())["rows"]} == {
        "stock",
        "ours",
        "bare products",
        "full softmax",
    }
    layers = json.loads((tmp_path / "layer.json").read_text())
    assert all(
        row["GFLOP/s"] > 0 and (row["peak MiB"] > 0) == (row["what"] != "bare products") for row in layers["rows"]
    )
    assert len(layers["shapes"]) == 3 and all(row["ratio"] > 0 and row["pairs"] == 5 for row in layers["shapes"])
    assert len(layers["missed"]) == 1 and all(row["zeros ms"] > 0 for row in layers["missed"])
    regret = json.loads((tmp_path / "cost.json").read_text())["regret"][0]
    assert len(regret["screened"]) == 30 and len(regret["rows"]) == 6 and regret["regret"] > 0
    assert all(row["cutoffs"][0] >= words.words_for_share(0.75) for row in regret["rows"])


def test_bench_of_large_sizes(monkeypatch):
    """What `bench layer --device cuda` does first, on a CPU: each case by itself, with what fails recorded as that."""
    import torch

    def no_memory(x, weight, target):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB")

    def broken(x, weight, target):
        raise RuntimeError("the kernel does not compile\nand says so at length")

    rivals = {
        "full: plain": bench.rivals.plain,
        "full: greedy": no_memory,
        "full: broken": broken,
        "full: elsewhere": "absent (ImportError: No module named 'elsewhere')",
    }
    monkeypatch.setattr(bench.large, "full_softmaxes", lambda: rivals)
    kept, said = [], []
    record = bench.bench_layer(
        sizes=bench.TINY,
        large=True,
        rounds=2,
        full=False,
        shapes=False,
        say=said.append,
        keep=lambda record: kept.append(json.loads(json.dumps(record))),
    )
    full = {row["what"]: row for row in record["full"]}
    assert full["full: greedy"]["ms"] == "out of memory" and full["full: elsewhere"]["ms"].startswith("absent (Import")
    assert full["full: broken"]["ms"] == "failed (RuntimeError: the kernel does not compile)"
    assert full["full: plain"]["of best full"] == 1 and 0 < full["ours"]["of best full"] < 50
    assert full["full: plain"]["loss"] == pytest.approx(9.9, abs=0.3)  # log 20,000
    assert full["ours"]["cutoffs"] and full["full: plain"]["cutoffs"] == []
    grid = record["grid"]
    assert len(grid) == 12 and {row["what"] for row in grid} == {"stock", "ours", "bare products"}
    for row in grid:
        assert row["TFLOP/s"] > 0 and row["runs"] == 2
        if row["what"] == "ours":
            stock, bare = row["ms"] / row["of stock"], row["ms"] / row["of bare"]
            assert row["of bound"] == pytest.approx(row["ms"] / max(0.5 * stock, 1.25 * bare))
    # after every case there is a record of all so far
    assert [len(r.get("full", [])) for r in kept][:2] == [len(full)] * 2
    assert [len(r.get("grid", [])) for r in kept][1:5] == [3, 6, 9, 12]
    assert any("absent" in text for text in said)


def test_bench_of_large_sizes_keeps_its_time(monkeypatch):
    monkeypatch.setattr(bench.large, "full_softmaxes", lambda: {})
    record = bench.bench_layer(
        sizes=bench.TINY, large=True, seconds=-1.0, rounds=1, full=False, shapes=False, say=lambda text: None
    )
    assert [row["ms"] for row in record["full"] + record["grid"]] == ["not begun (time)"] * 5
    assert all(row["ms"] > 0 for row in record["rows"])


def test_the_step_in_a_cuda_graph(monkeypatch):
    """The code around the graph, with a graph that does on replay what it was given: nothing reads the host in it."""
    import contextlib

    import torch

    from adasoft.workloads import Shape, captured_steps, replayed

    stream = type("Stream", (), {"wait_stream": lambda self, other: None})
    graphs = []

    class Graph:
        replayed = 0

        def replay(self):
            self.replayed += 1

    monkeypatch.setattr(torch.cuda, "Stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda s: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda g: graphs.append(g) or contextlib.nullcontext())
    made = []
    monkeypatch.setattr(
        torch.autograd, "grad", lambda loss, leaves, grad=torch.autograd.grad: made.append(loss) or grad(loss, leaves)
    )
    steps = captured_steps(Shape(600, 16, 40, (60, 200), (8, 4)), "cpu", torch.float32)
    assert len(steps) == 2 and len(made) == 4 and len(graphs) == 1
    for step in steps:
        step()
    assert graphs[0].replayed == 2
    called = []
    step = replayed(lambda: called.append(1))
    assert len(called) == 4 and len(graphs) == 2
    step()
    assert graphs[1].replayed == 1


def test_operations_of_a_layer_are_those_of_its_products():
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from adasoft.cost import count_operations
    from adasoft.workloads import Shape, bare_products

    shape = Shape(600, 16, 40, (60, 200), (8, 4))
    tokens = [share * shape.batch for share in shape.tail_shares()]
    with FlopCounterMode(display=False) as counter:
        bare_products(shape, tokens, "cpu", torch.float32)()
    # whole tokens there, shares of them here
    assert count_operations(shape.products()) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_rivals_agree_or_are_absent():
    import torch

    random = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 16, generator=random).requires_grad_() for n in (24, 90))
    target = torch.randint(90, (24,), generator=random)
    found = bench.rivals.full_softmaxes()
    assert next(iter(found)) == "full: plain" and len(found) == 5
    expected = torch.nn.functional.cross_entropy(x @ weight.t(), target)
    for name in ("full: plain", "full: torch, fused"):
        if isinstance(found[name], str):  # an older torch has none
            assert found[name].startswith("absent (")
        else:
            torch.testing.assert_close(found[name](x, weight, target), expected)


def test_bench_decode_and_cutoffs_on_a_text(tmp_path, monkeypatch, capsys):
    """From a text file to the tables, on a text of a moment; a second run takes the trained layer from the cache."""
    draw = random.Random(0)
    words = [f"w{int(4000 * draw.random() ** 3)}" for _ in range(30_000)]
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{' '.join(words[i : i + 10])}\n" for i in range(0, len(words), 10)), encoding="utf-8")
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    options = ("--text", str(text), "--hidden", "64", "--rounds", "2", "--json", str(tmp_path / "out.json"))
    status, out, _ = run("bench", "decode", "--steps", "30", *options, capsys=capsys)
    record = json.loads((tmp_path / "out.json").read_text())
    assert status == 0 and "training on cutoffs" in out
    assert len(record["rows"]) == 16 and {row["rows"] for row in record["rows"]} == {1, 256}
    assert all(0 <= share <= 1 for row in record["opened"] for share in row["opened, top 10"])
    assert all(row["perplexity"] < 4000 for row in record["opened"])
    assert record["d"] == 64 and record["steps"] == 30
    status, out, _ = run("bench", "decode", "--steps", "30", *options, capsys=capsys)
    assert status == 0 and "training on" not in out
    monkeypatch.setattr(bench.search, "AUTHORS", (200, 1000))
    case = bench.bench_cutoffs(adasoft.Vocabulary.from_text(text), in_features=64, batch=200, rounds=1)
    assert case["rows"][0]["which"] == "authors" and case["rows"][0]["of authors"] == 1
    planned = [row for row in case["rows"] if row["which"].startswith("planned")]
    assert planned and all(row["head share"] >= case["rows"][0]["head share"] - 1e-12 for row in planned)


def test_without_wordfreq_a_mistyped_file_is_said_to_be_none(monkeypatch, capsys, tmp_path):
    def missing():
        raise ImportError("wordfreq is not installed")

    monkeypatch.setattr("adasoft.Vocabulary.wordfreq_languages", missing)
    status, _, err = run("plan", "cuonts.tsv", capsys=capsys)
    assert status == 2 and "'cuonts.tsv' is not a file" in err and "wordfreq is not installed" in err
    (tmp_path / "text.txt").write_text("a b a c\n" * 50)
    assert run("plan", str(tmp_path / "text.txt"), capsys=capsys)[0] == 0  # needs no list of languages


def test_a_folder_does_not_hide_a_language(monkeypatch, tmp_path, capsys):
    (tmp_path / "de").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run("plan", "de", "--max-size", "3000", capsys=capsys)[0] == 0


def test_what_fits_alone_but_not_beside_the_others_is_recorded(monkeypatch):
    """`bench.large`: the benchmark goes on."""
    import torch

    from adasoft import timing
    from adasoft.bench import large

    real = timing.interleave

    def short_of_memory(items, **options):
        if len(items) > 1 or "big" in items:
            raise torch.OutOfMemoryError
        return real(items, **options)

    monkeypatch.setattr(timing, "interleave", short_of_memory)
    steps = [lambda: None]
    timings, failed = large._in_turns({"small": steps, "big": steps}, "cpu", 3)
    assert timings["small"].n == 3 and failed == {"big": "out of memory beside the others"}


# ---------------------------------------------------------------------- help


def parsers(parser=None):
    """Every parser of the command line, by its name."""
    parser = parser or cli.parser()
    yield parser.prog, parser
    for action in parser._actions:
        for below in (getattr(action, "choices", None) or {}).values() if action.dest in ("command", "what") else ():
            yield from parsers(below)


PARSERS = dict(parsers())


@pytest.mark.parametrize("name", PARSERS)
def test_help_is_for_people(name):
    text = PARSERS[name].format_help()
    for word in ("SET_", "None", "<class", "<function", "default=", "argparse", "==SUPPRESS==", "%("):
        assert word not in text
    for action in PARSERS[name]._actions:
        assert action.dest in ("command", "what") or (action.help and action.help[-1] != "."), action.dest
        if action.option_strings and action.nargs != 0:
            assert not (action.metavar or action.dest.upper()).count("_")


def test_each_benchmark_lists_its_own_options():
    own = {
        name: {s for a in PARSERS[f"python -m adasoft bench {name}"]._actions for s in a.option_strings}
        for name in ("plan", "cost", "layer", "decode", "train", "attention")
    }
    assert {s for a in PARSERS["python -m adasoft bench margins"]._actions for s in a.option_strings} == {
        *("-h", "--help", "--seeds", "--json")
    }
    assert {s for a in PARSERS["python -m adasoft bench memory"]._actions for s in a.option_strings} == {
        *("-h", "--help", "--text", "--encoding", "--tokens", "--seeds", "--tiny", "--json")
    }
    assert {s for a in PARSERS["python -m adasoft bench kerbs"]._actions for s in a.option_strings} == {
        *("-h", "--help", "--text", "--encoding", "--json", "--tiny")
    }
    assert {s for a in PARSERS["python -m adasoft bench gpu"]._actions for s in a.option_strings} == {
        *("-h", "--help", "--minutes", "--out", "--text", "--continue", "--device", "--tiny")
    }
    common = {"-h", "--help", "--rounds", "--json", "--device"}
    assert {name: options - common for name, options in own.items()} == {
        "plan": {"--text", "--encoding"},
        "cost": {"--dtype", "--no-regret", "--tiny"},
        "layer": {"--dtype", "--no-full", "--no-shapes", "--seconds", "--tiny"},
        "decode": {
            "--text",
            "--run",
            "--steps",
            "--max-size",
            "--experts",
            "--tokens",
            "--hidden",
            "--epochs",
            "--no-large",
            "--encoding",
        },
        "train": {"--text", "--tokens", "--bpe", "--hidden", "--dtype", "--preset", "--rows", "--encoding"},
        "attention": {"--dtype", "--tiny"},
    }


def test_the_options_of_a_run_are_the_fields_of_its_settings():
    """One for each, of the field's type, with the field's default in its help."""
    import typing

    from adasoft.lm.settings import RETIRED, Settings

    types = typing.get_type_hints(Settings)
    made = {name.replace("-", "_"): (kind, text) for name, kind, _, text in SETTINGS}
    fields = [field for field in dataclasses.fields(Settings) if field.name not in RETIRED]
    assert set(made) == {field.name for field in fields}
    for field in fields:
        kind, text = made[field.name]
        said = text[text.rindex("(") + 1 : -1]
        if field.default is not None:
            assert said.split(":")[0] == (
                f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            )
        value = {str: "abc", int: "7", float: "0.5"}
        for type_, example in value.items():
            if types[field.name] in (type_, type_ | None):
                assert kind(example) == type_(example) and type(kind(example)) is type_


# ---------------------------------------------------------------------- options arrive


class Recorder:
    """Stands in for a function, and keeps what it was given."""

    def __init__(self, returns=None):
        self.given, self.returns = [], returns

    def __call__(self, *arguments, **more):
        self.given.append((arguments, more))
        return self.returns


BENCHES = {
    "plan": ("bench_plan", [], {}),
    "cost": ("bench_cost", [], {"device": "cpu", "dtype": "float32"}),
    "layer": (
        "bench_layer",
        [],
        {
            "device": "cpu",
            "dtype": "float32",
            "full": True,
            "shapes": True,
            "keep": None,
            "seconds": 300.0,
            "sizes": bench.SIZES,
        },
    ),
    "decode": ("bench_decode", ["--text", "t.txt"], {"device": "cpu"}),
    "attention": ("bench_attention", [], {"device": "cpu", "dtype": "float32", "sizes": None}),
    "adversarial": ("bench_adversarial", [], {"seeds": 3, "sizes": None, "text": None, "only": None}),
}


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("plan", [], {}),
        ("plan", ["--rounds", "3"], {"rounds": 3}),
        ("cost", [], {}),
        ("cost", ["--rounds", "3", "--device", "cpu:0"], {"rounds": 3, "device": "cpu:0"}),
        ("cost", ["--no-regret", "--dtype", "bfloat16"], {"cases": [], "dtype": "bfloat16"}),
        ("layer", [], {}),
        ("layer", ["--rounds", "3"], {"rounds": 3}),
        ("layer", ["--dtype", "bfloat16"], {"dtype": "bfloat16"}),
        ("layer", ["--no-full"], {"full": False}),
        ("layer", ["--no-shapes"], {"shapes": False}),
        ("layer", ["--tiny"], {"sizes": bench.TINY}),
        ("decode", [], {}),
        ("decode", ["--rounds", "3"], {"rounds": 3}),
        ("decode", ["--steps", "5"], {"steps": 5}),
        ("decode", ["--max-size", "50"], {"max_size": 50}),
        ("attention", [], {}),
        ("attention", ["--rounds", "3", "--dtype", "bfloat16"], {"rounds": 3, "dtype": "bfloat16"}),
        ("attention", ["--tiny"], {"sizes": bench.ATTENTION_TINY}),
        ("adversarial", [], {}),
        ("adversarial", ["--tiny", "--seeds", "1"], {"sizes": bench.CONTEST_TINY, "seeds": 1}),
        ("adversarial", ["--text", "t.txt", "--only", "text"], {"text": "t.txt", "only": "text"}),
    ],
)
def test_options_of_benchmarks_arrive(name, more, expected, monkeypatch, capsys):
    function, source, usual = BENCHES[name]
    recorder = Recorder({})
    monkeypatch.setattr(bench, function, recorder)
    assert run("bench", name, *source, *more, capsys=capsys)[0] == 0
    assert recorder.given == [(("t.txt",) if source else (), {**usual, **expected})]


def test_large_sizes_have_their_seconds_on_a_gpu_only(monkeypatch, capsys):
    recorder = Recorder({})
    monkeypatch.setattr(bench, "bench_layer", recorder)
    assert "--seconds is for a GPU" in run("bench", "layer", "--seconds", "5", capsys=capsys)[2]
    monkeypatch.setattr(bench_command, "use_device", lambda device: None)
    assert run("bench", "layer", "--device", "cuda", "--seconds", "5", capsys=capsys)[0] == 0
    assert recorder.given[0][1]["seconds"] == 5 and recorder.given[0][1]["device"] == "cuda"


def test_options_of_benchmarks_on_corpora_arrive(monkeypatch, capsys):
    from adasoft import corpora
    from adasoft.lm.settings import Settings

    load = Recorder("the corpus")
    train, compare, svd = Recorder({}), Recorder({}), Recorder({"rows": []})
    monkeypatch.setattr(corpora, "load", load)
    for name, recorder in {"bench_train": train, "bench_compare": compare, "bench_svd": svd}.items():
        monkeypatch.setattr(bench, name, recorder)
    run("bench", "train", "--text", "t.txt", capsys=capsys)
    assert load.given[-1] == (("t.txt",), {"tokens": None, "bpe": None, "encoding": "utf-8"})
    given, more = train.given[-1]
    assert given == ("the corpus", Settings()) and more == {"rows": tuple(SUITE), "device": "cpu"}
    more = shlex.split(
        "--tokens 9 --bpe 300 --encoding cp1252 --hidden 8 --dtype bfloat16 --preset authors --rows full,adaptive "
        "--rounds 3"
    )
    run("bench", "train", "--text", "t.txt", *more, capsys=capsys)
    assert load.given[-1] == (("t.txt",), {"tokens": 9, "bpe": 300, "encoding": "cp1252"})
    given, more = train.given[-1]
    assert given[1] == Settings(hidden=8, dtype="bfloat16", clip=0.25, halve_from=3, dropout=0.25, weight_decay=0.0)
    assert more == {"rows": ("full", "adaptive"), "device": "cpu", "rounds": 3}

    run("bench", "decode", "--run", "t.txt", capsys=capsys)
    assert load.given[-1] == (("t.txt",), {"tokens": None, "max_size": None, "encoding": "utf-8"})
    assert compare.given[-1] == (("the corpus", Settings()), {"experts": [8, 16], "device": "cpu"})
    assert svd.given[-1][1] == {"device": "cpu"}
    more = shlex.split("--tokens 9 --encoding utf-16 --hidden 8 --epochs 2 --experts 4,2 --rounds 3 --no-large")
    run("bench", "decode", "--run", "t.txt", *more, capsys=capsys)
    assert load.given[-1] == (("t.txt",), {"tokens": 9, "max_size": None, "encoding": "utf-16"}) and len(svd.given) == 1
    assert compare.given[-1] == (
        ("the corpus", Settings(hidden=8, epochs=2)),
        {"experts": [4, 2], "device": "cpu", "rounds": 3},
    )


def test_bench_plan_reads_texts_before_it_measures(monkeypatch, capsys, tmp_path):
    search, cutoffs = Recorder({}), Recorder({"rows": []})
    monkeypatch.setattr(bench, "bench_plan", lambda **more: search(**more) or {"bench": "plan"})
    monkeypatch.setattr(bench, "bench_cutoffs", cutoffs)
    (tmp_path / "small.txt").write_text("a b c a\n" * 9)
    status, _, err = run("bench", "plan", "--text", "en", "--text", str(tmp_path / "small.txt"), capsys=capsys)
    assert status == 2 and "small should have more than 2,000 words" in err and not search.given and not cutoffs.given
    status, _, err = run("bench", "plan", "--device", "cpu", capsys=capsys)
    assert status == 2 and "--device is for the layers of --text" in err
    target = tmp_path / "plan.json"
    more = ["--rounds", "3", "--device", "cpu", "--json", str(target)]
    assert run("bench", "plan", "--text", "en", "--text", "de", *more, capsys=capsys)[0] == 0
    assert (
        search.given == [((), {"rounds": 3})] and [m for _, m in cutoffs.given] == [{"device": "cpu", "rounds": 3}] * 2
    )
    assert ["en" in g[0].name for g, _ in cutoffs.given] == [True, False]
    record = json.loads(target.read_text())
    assert len(record["cutoffs"]) == 2 and record["device"]["type"] == "cpu"


def plan_json(capsys, *more):
    status, out, err = run("plan", "synthetic:20000", "--json", "-", *more, capsys=capsys)
    assert status == 0, err
    return json.loads(out)


def test_options_of_plan_arrive(capsys, tmp_path):
    usual = plan_json(capsys)
    assert (usual["in_features"], usual["batch"], usual["n_classes"]) == (512, 2560, 20_000)
    assert plan_json(capsys, "-d", "256")["in_features"] == 256 and plan_json(capsys, "-b", "99")["batch"] == 99
    assert plan_json(capsys, "--batch", "99")["in_features"] == 512
    assert len(plan_json(capsys, "--tails", "4")["cutoffs"]) == 4
    assert plan_json(capsys, "-j", "2", "--widths", "90,40")["widths"] == [90, 40]
    assert plan_json(capsys, "-j", "2", "--width-ratio", "2")["widths"] == [256, 128]
    assert plan_json(capsys, "--min-head-share", "0.9")["shares"][0] >= 0.9 > usual["shares"][0] >= 0.75
    assert all(c % 64 == 0 for c in plan_json(capsys, "--align", "64")["cutoffs"])
    assert plan_json(capsys, "--max-size", "5000")["n_classes"] == 5000
    assert plan_json(capsys, "--objective", "decode")["objective"] == "decode"
    text = tmp_path / "text.txt"
    text.write_text("A a, a,\nB b c\n")
    said = {
        more: run("plan", str(text), *more, capsys=capsys)[1].splitlines()[0]
        for more in ((), ("--lower",), ("--split", "words"), ("--eos", "</s>"), ("--min-count", "2"))
    }
    assert [int(line.split("V = ")[1].split(",")[0]) for line in said.values()] == [5, 4, 6, 6, 2]
    # other timings: another device's, number format's, or those of a record
    h200 = ROOT / "data" / "machines" / "cuda-nvidia-h200-bfloat16.json"
    for more in (("--device", "cuda", "--dtype", "bfloat16"), ("--record", str(h200))):
        assert "H200, bfloat16" in plan_json(capsys, *more)["cost"] != usual["cost"]


def test_options_of_calibrate_arrive(monkeypatch, capsys, tmp_path):
    from adasoft import calibration as machine

    cost = type("Cost", (), {"name": "here", "path": tmp_path / "my record.json"})()
    cost.record = {
        "threads": 2,
        "torch": "2",
        "seconds": 3.0,
        "errors": {"layer": {"median": 0.1, "largest": 0.5, "signed": -0.05, "n": 7}},
    }
    recorder = Recorder(cost)
    monkeypatch.setattr(machine, "calibrate", recorder)
    status, out, _ = run("calibrate", capsys=capsys)
    given = {"captured": False, "seconds": 60.0, "save": True}
    assert recorder.given == [(("cpu", "float32"), given)] and status == 0
    assert "10.0% (median),  50.0% (largest),  -5.0% (median with its sign), 7 shapes" in out
    assert out.endswith("`python -m adasoft plan` uses it from now on\n")
    assert "--dtype bfloat16`" in run("calibrate", "--dtype", "bfloat16", "--seconds", "5", capsys=capsys)[1]
    assert recorder.given[1] == (("cpu", "bfloat16"), given | {"seconds": 5.0})
    out = run("calibrate", "--output", str(cost.path), capsys=capsys)[1]
    assert recorder.given[2][1]["save"] == str(cost.path) and f"plan --record '{cost.path}'`" in out


#: Of every option of `train`: a value, and the field of the settings with what it should be.
GIVEN = {
    "model": "gru",
    "hidden": 7,
    "layers": 2,
    "heads": 3,
    "embedding": "adaptive",
    "embedding_size": 9,
    "dropout": 0.3,
    "softmax": "full",
    "cutoffs": (3, 9),
    "min_head_share": 0.6,
    "n_tails": 3,
    "width_ratio": 2.5,
    "tail_dropout": 0.4,
    "samples": 0.1,
    "optimizer": "adam",
    "learning_rate": 0.7,
    "weight_decay": 0.01,
    "clip": 0.5,
    "halve_from": 2,
    "warmup": 4,
    "bptt": 11,
    "batch": 12,
    "epochs": 3,
    "seed": 5,
    "dtype": "bfloat16",
}


@pytest.mark.parametrize("name", GIVEN)
def test_options_of_a_run_arrive_and_can_be_repeated(name):
    from adasoft.lm.settings import Settings

    value = GIVEN[name]
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    options = cli.parser().parse_args(["train", f"--{name.replace('_', '-')}", text])
    settings = settings_of(options)
    assert settings == Settings(**{name: value})
    again = shlex.split(command_of(options, settings))
    assert again[:4] == ["python", "-m", "adasoft", "train"]
    assert settings_of(cli.parser().parse_args(again[3:])) == settings


def test_presets_and_corpora_arrive(monkeypatch):
    from adasoft import corpora
    from adasoft.lm.settings import PRESETS, Settings

    for name, preset in PRESETS.items():
        options = cli.parser().parse_args(["train", "--preset", name, "--epochs", "2"])
        assert settings_of(options) == Settings(**{**preset, "epochs": 2})
    options = cli.parser().parse_args(["train", "--preset", "authors", "--clip", "0.9"])
    assert settings_of(options).clip == 0.9  # what is said itself counts
    load = Recorder()
    monkeypatch.setattr(corpora, "load", load)
    corpus_of(cli.parser().parse_args(["train"]))
    more = shlex.split("--corpus t --tokens 9 --min-count 3 --max-size 50 --lower --bpe 300")
    corpus_of(cli.parser().parse_args(["train", *more]))
    usual = dict.fromkeys(("tokens", "min_count", "max_size", "bpe")) | {"lower": False}
    given = {"tokens": 9, "min_count": 3, "max_size": 50, "lower": True, "bpe": 300}
    assert [(source, {k: more[k] for k in usual}) for (source,), more in load.given] == [("docs", usual), ("t", given)]


AWKWARD = ["a b.txt", "x;rm -rf y", "$(reboot).txt", "it's", "-dash", "ü/ñ.txt", "`x`", 'q"u']


@pytest.mark.parametrize("name", AWKWARD)
def test_commands_to_repeat_survive_a_shell(name):
    options = cli.parser().parse_args(["train", f"--corpus={name}", f"--folder={name}", "--lower", "--tokens", "5"])
    command = command_of(options, settings_of(options))
    words = subprocess.run(
        ["sh", "-c", f'set -- {command}; printf "%s\\0" "$@"'], capture_output=True, check=True
    ).stdout
    again = cli.parser().parse_args([w.decode() for w in words.split(b"\0")[3:-1]])
    assert (again.corpus, again.folder, again.lower, again.tokens) == (name, name, True, 5)


# ---------------------------------------------------------------------- refusals

HUGE = "1" + "0" * 20
REFUSED = [
    ["plan", "synthetic:1000000000000"],
    ["plan", f"synthetic:{HUGE * 50}"],
    ["plan", "synthetic:²"],
    ["plan", ""],
    ["plan", "a" * 5000],
    ["plan", "en", "--json", ""],
    ["plan", "en", "--opened", ""],
    ["plan", "en", "--record", ""],
    *(["plan", "en", o, v] for o in ("-d", "-b", "-j", "--align", "--max-size") for v in (HUGE, "nan", "", "1e5", "é")),
    *(["plan", "en", o, v] for o in ("--width-ratio", "--min-count", "--min-head-share") for v in ("nan", "", "é")),
    *(["calibrate", "--seconds", v] for v in ("nan", "inf", "-1", "1e400", "")),
    *(["calibrate", "--device", v] for v in ("cuda", "é", "", "meta", f"cuda:{HUGE}")),
    *(
        ["train", f"--{o}", HUGE]
        for o, kind, *_ in SETTINGS
        if kind not in (str,)
        and o != "clip"
        and "batch epochs hidden seed n-tails heads layers bptt warmup halve-from embedding-size".count(o)
    ),
    *(["train", "--device", v] for v in ("cuda", "mps", "é", "cuda:x")),
    *(["train", "--sample", v] for v in ("-5", HUGE, "x")),
    *(["train", "--save-every", v] for v in ("nan", "inf", "-1")),
    ["train", "--json", "-"],
    ["train", "--preset", "é"],
    *(["bench", b, "--rounds", v] for b in ("plan", "cost", "layer") for v in ("0", "-1", HUGE)),
    ["bench", "train", "--text", "t.txt", "--rounds", "0"],
    *(["bench", b, "--device", v] for b in ("cost", "layer") for v in ("cuda", "é", "", "meta")),
    ["bench", "train", "--text", "t.txt", "--device", "cuda"],
    ["bench", "decode", "--text", "t.txt", "--device", "cuda"],
    *(["bench", "layer", "--seconds", v] for v in ("nan", "-1")),
    ["bench", "decode", "--text", "t.txt", "--hidden", "0"],
    ["bench", "decode", "--text", "t.txt", "--no-large"],
    ["bench", "decode", "--run", "t.txt", "--steps", "4"],
    ["bench", "decode", "--run", "t.txt", "--experts", "2,x"],
    ["bench", "decode", "--text", "t.txt", "--run", "t.txt"],
    ["bench", "decode"],
    ["bench"],
    ["bench", "train", "--text", "missing.txt"],
    ["bench", "decode", "--text", "missing.txt"],
    ["bench", "plan", "--text", "missing.txt"],
    ["bench", "cost", "--epochs", "3"],
    ["table", "--seeds", "0", "--run", "t.txt"],
    ["table", "--hidden", "8"],
    ["table", "--lower"],
    ["table", "--device", "cpu"],
    ["table", "--markdown", "--by-rank"],
    ["table", "--run", "t.txt", "--device", "cuda"],
    ["table", "missing"],
    ["nothing"],
    [],
]


def nothing_begins(monkeypatch):
    """Work that takes long fails the test at once."""
    from adasoft import calibration as machine

    long = [(bench, f"bench_{name}") for name in ("plan", "cost", "layer")]
    for room, name in [*long, (machine, "calibrate")]:
        monkeypatch.setattr(room, name, lambda *a, **k: pytest.fail("it began"))


@pytest.mark.parametrize("arguments", REFUSED, ids=lambda a: " ".join(a)[:60])
def test_what_cannot_be_is_refused_in_one_line(arguments, tmp_path, monkeypatch, capsys):
    nothing_begins(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("a b a c\n" * 50)
    try:
        status, out, err = run(*arguments, capsys=capsys)
    except SystemExit as stop:
        status, (out, err) = stop.code, capsys.readouterr()
    assert status == 2 and len(err.splitlines()) == 1 and err.startswith("adasoft") and len(err) < 800
    assert not out and "invalid literal" not in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--text", "t.txt", "--epochs", "4"], "--epochs is for --run CORPUS"),
        (["--text", "t.txt", "--no-large"], "--no-large is for --run CORPUS"),
        (["--text", "t.txt", "--experts", "4"], "--experts is for --run CORPUS"),
        (["--run", "t.txt", "--steps", "4"], "--steps is for --text FILE"),
        (["--run", "t.txt", "--max-size", "4"], "--max-size is for --text FILE"),
    ],
)
def test_no_option_is_looked_at_in_vain(arguments, reason, capsys):
    status, _, err = run("bench", "decode", *arguments, capsys=capsys)
    assert status == 2 and reason in err


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *((["plan", "en"], "--json"), (["calibrate"], "--output"), (["bench", "cost"], "--json")),
        *((["bench", "train", "--text", "t.txt"], "--json"), (["train"], "--json")),
    ],
)
@pytest.mark.parametrize(("target", "reason"), [("folder", "Is a directory: folder"), ("t.txt/x", "Not a directory: ")])
def test_files_are_tried_before_the_work(command, option, target, reason, tmp_path, monkeypatch, capsys):
    nothing_begins(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("t.txt").write_text("a b a c\n" * 50)
    status, out, err = run(*command, option, target, capsys=capsys)
    assert status == 2 and reason in err and not out and sorted(os.listdir()) == ["folder", "t.txt"]


def test_the_folder_of_a_table_is_tried_before_the_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("a b a c\n" * 50)
    status, out, err = run("table", "t.txt", "--run", "t.txt", "--rows", "full", capsys=capsys)
    assert status == 2 and "t.txt" in err and not out


def test_a_device_is_written_to_and_not_replaced(tmp_path, capsys):
    """What root could do to /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert run("plan", "synthetic:50", "--json", str(tmp_path / "pipe"), capsys=capsys)[0] == 0
    assert json.loads(os.read(reader, 100_000))["n_classes"] == 50 and (tmp_path / "pipe").is_fifo()
    os.close(reader)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("two\nlines"), 2, "adasoft lab: two lines"),
        (KeyError("a name"), 2, "adasoft lab: a name"),
        (OverflowError("too large"), 2, "adasoft lab: too large"),
        (ZeroDivisionError(), 2, "adasoft lab: ZeroDivisionError"),
        (MemoryError("9 TiB"), 2, "adasoft lab: not enough memory: 9 TiB"),
        (FileNotFoundError(2, "No such file or directory", "x y"), 2, "adasoft lab: No such file or directory: x y"),
        (RuntimeError("out of it\nException raised from f at x.cpp:1\n#0 ..."), 2, "adasoft lab: out of it"),
        (
            AttributeError("no such thing"),
            1,
            "adasoft lab: a fault of adasoft, AttributeError: no such thing (python -X",
        ),
        (AssertionError(), 1, "adasoft lab: a fault of adasoft, AssertionError: AssertionError (python -X"),
        (KeyboardInterrupt(), 130, "\nadasoft lab: stopped; nothing was written"),
    ],
)
def test_errors_and_their_exit_statuses(error, status, said, monkeypatch, capsys):
    def fails(*_):
        raise error

    monkeypatch.setattr(lab, "run", fails)
    found, _, err = run("lab", capsys=capsys)
    assert found == status and err.startswith(said) and len(err.strip().splitlines()) == 1


def test_jupyterlab_gets_what_is_not_ours_and_its_status_comes_back(monkeypatch, capsys):
    class Process:
        started = []

        def __init__(self, command, env):
            self.started.append(command)

        def wait(self):
            return 7

    monkeypatch.setattr(subprocess, "Popen", Process)
    assert run("lab", "--port=9", capsys=capsys)[0] == 7 and "--port=9" in Process.started[0]
    printed = run("lab", "--print", "--x=a b", capsys=capsys)[1]
    assert "--x=a b" in shlex.split(printed) and "'--x=a b'" in printed
