"""What a core install can do: with NumPy alone it plans, and where a package is missing it names the extra."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alone import without

from adasoft.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[1]


def test_the_extras_are_those_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tables = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    found = {}
    for extra, packages in re.findall(r"^(\w+) = \[(.*?)\]$", tables, re.MULTILINE | re.DOTALL):
        found |= {package: extra for package in re.findall(r'"([a-z0-9_-]+)[><=;]', packages) if extra != "test"}
    for package, imported in (("scikit-learn", "sklearn"), ("simple-icd-10-cm", "simple_icd_10_cm")):
        found[imported] = found.pop(package)  # imported by another name
    assert found == EXTRAS
    assert 'dependencies = ["numpy>=1.26"]' in text


@pytest.fixture
def counts(tmp_path):
    path = tmp_path / "counts.tsv"
    path.write_text("".join(f"w{i}\t{1000 // (i + 1)}\n" for i in range(300)), encoding="utf-8")
    return str(path)


def test_a_core_install_plans(counts):
    for arguments in (["synthetic:20000"], [counts, "--json", "-"], [counts, "--front"]):
        status, out, err = without(EXTRAS, "plan", *arguments)
        assert status == 0 and out and not err


def test_the_chain_to_a_plan_in_python():
    code = (
        "import adasoft\n"
        "words = adasoft.Vocabulary.synthetic(20000)\n"
        "for cost in (adasoft.PaperCost(1e-5, 1e-11), adasoft.load_cost()):\n"
        "    print(adasoft.plan(words, 512, 2560, cost=cost).cutoffs)\n"
        "for name in ('AdaptiveSoftmax', 'AdaptiveEmbedding', 'calibrate'):\n"
        "    try:\n"
        "        getattr(adasoft, name)\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    status, out, err = without(EXTRAS, code=code)
    assert status == 0, err
    said = out.splitlines()[2:]
    assert said[0] == 'AdaptiveSoftmax needs torch, which is not installed: pip install "adasoft[torch]"'
    assert len(said) == 3 and all(line.endswith('pip install "adasoft[torch]"') for line in said)


@pytest.mark.parametrize(
    ("blocked", "command", "extra"),
    [
        (["torch"], "calibrate", "torch"),
        (["torch"], "train", "torch"),
        (["torch"], "bench layer", "torch"),
        (["torch"], "plan synthetic:20000 --embedding", "torch"),
        (["jupyterlab"], "lab", "notebooks"),
    ],
)
def test_commands_name_the_extra_that_they_need(blocked, command, extra):
    status, _, err = without(blocked, *command.split())
    assert status == 2 and err.endswith(f'is not installed: pip install "adasoft[{extra}]"\n'), err
