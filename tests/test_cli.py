"""The command line, and the project as a stranger meets it."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import adasoft
from adasoft import __main__ as cli
from adasoft import bench

ROOT = Path(__file__).resolve().parents[1]
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
    status, out, _ = run("plan", str(counts), "-j", "2", "--widths", "choose", "--min-mean-width", "400", capsys=capsys)
    assert status == 0 and "cutoffs" in out
    run("plan", str(counts), "-j", "2", "--width-ratio", "2", "--json", str(target), capsys=capsys)
    assert json.loads(target.read_text())["widths"] == [256, 128]


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
        (["plan", "en", "--opened", "0.1"], "opened=0.1 is for objective='decode'"),
        (["plan", "en", "--opened", "few"], "--opened should be numbers like 0.2,0.1, got 'few'"),
        (["plan", "nowhere.txt"], "is no file, and no language of wordfreq"),
        (["plan", "de", "--min-count", "5"], "--min-count 5 leaves no word but <unk>: the largest count is 0.0"),
        (["table", "--rows", "full"], "--rows is for what --run CORPUS trains"),
        (["plan", "synthetic:many"], "needs a whole number of words, got 'many'"),
        (["plan", "en", "--tails", "-1"], "n_tails should be an integer of at least 0, got -1"),
        (["plan", "en", "--widths", "a,b"], "--widths should be numbers"),
        (["plan", "en", "--widths", "choose", "--min-mean-width", "0.94"], "got 0.94, perhaps 481.28 is meant"),
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
    command = " ".join(cli.lab_command(["--no-browser"]))
    assert "news_url=None" in command and "NeverCheckForUpdate" in command and "extension_manager=readonly" in command
    assert command.endswith("00_start_here.ipynb") and "--no-browser" in command
    environment = cli.lab_environment()
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
        "import sys; import adasoft; import adasoft.__main__ as m; m.main(['plan', 'synthetic:20000']);"
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
        "requirements.txt", "notebooks", "adasoft", "tests", "data", "README.md", "pyproject.toml", "LICENSE",
        ".gitignore", ".ci",
    }  # fmt: skip
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} <= allowed
    assert f'version = "{adasoft.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert "torch==2.13.0" in (ROOT / "requirements.txt").read_text()


def test_bench_tables_and_files(tmp_path, monkeypatch, capsys):
    """Each benchmark from end to end at sizes of a moment."""
    from adasoft import machine as M

    monkeypatch.setattr(bench.layer, "LAYERS", ((600, (60, 200)),))
    monkeypatch.setattr(bench.layer, "PAIR_SECONDS", 0.0)
    monkeypatch.setattr(bench.layer, "SHAPES", tuple((500 + i, 16, 64, (50, 200)) for i in range(15)))
    monkeypatch.setattr(
        M, "draw_layers", lambda *a, **k: [M.Shape(900, 64, 64, (90,), (16,)), M.Shape(800, 32, 64, (80, 300), (8, 8))]
    )
    words = adasoft.Vocabulary.synthetic(2000)
    monkeypatch.setattr(adasoft.Vocabulary, "from_wordfreq", classmethod(lambda cls, language: words))
    monkeypatch.setattr(adasoft.Vocabulary, "synthetic", staticmethod(lambda *a, **k: words))
    monkeypatch.setattr(bench.cost, "REGRET_CASES", [{"language": "en", "in_features": 256, "batch": 300}])
    for what in ("layer", "cost", "plan"):
        target = tmp_path / f"{what}.json"
        status, out, _ = run("bench", what, "--rounds", "1", "--json", str(target), capsys=capsys)
        record = json.loads(target.read_text())
        assert status == 0 and record["bench"] == what and record["rows"] and record["date"] and record["adasoft"]
        assert out.splitlines()
    assert {row["what"] for row in json.loads((tmp_path / "layer.json").read_text())["rows"]} == {
        "stock", "ours", "bare products", "full softmax",
    }  # fmt: skip
    layers = json.loads((tmp_path / "layer.json").read_text())
    assert all(
        row["GFLOP/s"] > 0 and (row["peak MiB"] > 0) == (row["what"] != "bare products") for row in layers["rows"]
    )
    assert len(layers["shapes"]) == 15 and all(row["ratio"] > 0 and row["pairs"] == 5 for row in layers["shapes"])
    assert len(layers["missed"]) == 3 and all(row["zeros ms"] > 0 for row in layers["missed"])
    regret = json.loads((tmp_path / "cost.json").read_text())["regret"][0]
    assert len(regret["screened"]) == 30 and len(regret["rows"]) == 6 and regret["regret"] > 0
    assert all(row["cutoffs"][0] >= words.words_for_share(0.75) for row in regret["rows"])


@pytest.fixture
def small_large(monkeypatch, tmp_path):
    """`bench.large` at sizes of a moment, on the recorded CPU's cost model."""
    monkeypatch.setattr(bench.large, "VOCABULARIES", ((600, (60, 200)), (500, (100,))))
    monkeypatch.setattr(bench.large, "WIDTHS", (64,))
    monkeypatch.setattr(bench.large, "TOKENS", (32, 48))
    monkeypatch.setattr(bench.large, "AGAINST", (20_000, 0.75, ((32, 512),)))
    monkeypatch.setattr(bench.layer, "LAYERS", ((600, (60, 200)),))
    monkeypatch.setattr(bench.layer, "_bf16", lambda rounds, say: [])


def test_bench_of_large_sizes(small_large, monkeypatch):
    """What `bench layer --device cuda` does first, on a CPU: each case by itself, with what fails recorded as that."""
    import torch

    def no_memory(x, weight, target):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB")

    def broken(x, weight, target):
        raise RuntimeError("the kernel does not compile\nand says so at length")

    rivals = {"full: plain": bench.rivals.plain, "full: greedy": no_memory, "full: broken": broken,
              "full: elsewhere": "absent (ImportError: No module named 'elsewhere')"}  # fmt: skip
    monkeypatch.setattr(bench.large, "full_softmaxes", lambda: rivals)
    kept, said = [], []
    record = bench.bench_layer(
        large=True, rounds=2, full=False, shapes=False, say=said.append,
        keep=lambda record: kept.append(json.loads(json.dumps(record))),
    )  # fmt: skip
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


def test_bench_of_large_sizes_keeps_its_time(small_large, monkeypatch):
    monkeypatch.setattr(bench.large, "full_softmaxes", lambda: {})
    record = bench.bench_layer(large=True, seconds=-1.0, rounds=1, full=False, shapes=False, say=lambda text: None)
    assert [row["ms"] for row in record["full"] + record["grid"]] == ["not begun (time)"] * 5
    assert all(row["ms"] > 0 for row in record["rows"])


def test_the_step_in_a_cuda_graph(monkeypatch):
    """The code around the graph, with a graph that does on replay what it was given: nothing reads the host in it."""
    import contextlib

    import torch

    from adasoft.machine import Shape

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
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, leaves, grad=torch.autograd.grad: made.append(loss) or
                        grad(loss, leaves))  # fmt: skip
    steps = bench.large.captured_steps(Shape(600, 16, 40, (60, 200), (8, 4)), "cpu", torch.float32)
    assert len(steps) == 2 and len(made) == 4 and len(graphs) == 1
    for step in steps:
        step()
    assert graphs[0].replayed == 2


def test_operations_of_a_layer_are_those_of_its_products():
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from adasoft.machine import Shape, bare_products

    shape = Shape(600, 16, 40, (60, 200), (8, 4))
    tokens = [share * shape.batch for share in shape.tail_shares()]
    with FlopCounterMode(display=False) as counter:
        bare_products(shape, tokens, "cpu", torch.float32)()
    # whole tokens there, shares of them here
    assert bench.large.layer_operations(shape) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_rivals_agree_or_are_absent():
    import torch

    random = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 16, generator=random).requires_grad_() for n in (24, 90))
    target = torch.randint(90, (24,), generator=random)
    found = bench.rivals.full_softmaxes()
    assert next(iter(found)) == "full: plain" and len(found) == 4
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
    monkeypatch.setattr(bench.decode, "CUTOFFS", (300, 1000, 2000))
    monkeypatch.setattr(bench.decode.bench_decode, "__kwdefaults__", {
        **bench.decode.bench_decode.__kwdefaults__, "cutoffs": (300, 1000, 2000), "in_features": 64, "batch": 200,
    })  # fmt: skip
    options = ("--text", str(text), "--rounds", "2", "--json", str(tmp_path / "out.json"))
    status, out, _ = run("bench", "decode", "--steps", "30", *options, capsys=capsys)
    record = json.loads((tmp_path / "out.json").read_text())
    assert status == 0 and "training on cutoffs" in out
    assert len(record["rows"]) == 16 and {row["rows"] for row in record["rows"]} == {1, 256}
    assert all(0 <= share <= 1 for row in record["opened"] for share in row["opened, top 10"])
    assert all(row["perplexity"] < 4000 for row in record["opened"])
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
    assert status == 2 and "'cuonts.tsv' is no file" in err and "wordfreq is not installed" in err
    (tmp_path / "text.txt").write_text("a b a c\n" * 50)
    assert run("plan", str(tmp_path / "text.txt"), capsys=capsys)[0] == 0  # needs no list of languages


def test_a_folder_does_not_hide_a_language(monkeypatch, tmp_path, capsys):
    (tmp_path / "de").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run("plan", "de", "--max-size", "3000", capsys=capsys)[0] == 0


def test_what_fits_alone_but_not_beside_the_others_is_recorded(monkeypatch):
    """`bench.large`: the benchmark goes on."""
    import torch

    from adasoft import machine
    from adasoft.bench import large

    real = machine.interleave

    def short_of_memory(items, **options):
        if len(items) > 1 or "big" in items:
            raise torch.OutOfMemoryError
        return real(items, **options)

    monkeypatch.setattr(machine, "interleave", short_of_memory)
    steps = [lambda: None]
    timings, failed = large._in_turns({"small": steps, "big": steps}, "cpu", 3)
    assert timings["small"].n == 3 and failed == {"big": "out of memory beside the others"}
