"""One JupyterLab for all browser tests, a page for each, and an empty cache for each."""

import os
import shutil
from pathlib import Path

import pytest
from browser.labdriver import browser_page, jupyter_lab

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """(address, token, folder of the notebooks, cache folder, folder of the network guard)"""
    # a copy, because the lab writes checkpoints beside what it opens
    root = tmp_path_factory.mktemp("root") / "notebooks"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".*"))
    (root / "own.txt").write_text("the cat saw the dog and the dog saw a bird\n" * 50 + "rare words come once\n")
    state = tmp_path_factory.mktemp("lab")
    with jupyter_lab(root, state, {"ADASOFT_CACHE": str(state / "cache")}) as (address, token):
        yield address, token, root, state / "cache", state / "network"


@pytest.fixture
def page(lab):
    shutil.rmtree(lab[3], ignore_errors=True)  # what an earlier test chose
    with browser_page() as page:
        yield page


@pytest.fixture
def shots(tmp_path):
    folder = Path(os.environ.get("ADASOFT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
