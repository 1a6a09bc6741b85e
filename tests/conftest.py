"""What every test shares: the ``--long`` option, and how many cases hypothesis draws."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # before torch is loaded, and for what tests start: processes of several threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

# No deadline: the first example of a process pays for warming torch up. Derandomised by default, so that a failure
# is a failure of the current change; `--long` draws other cases each time. Four properties of the layer, its loss and
# decoding share the long profile: 10,000 examples between them.
_COMMON = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=25, derandomize=True, **_COMMON)
settings.register_profile("long", max_examples=2_500, print_blob=True, **_COMMON)


@pytest.fixture(scope="module")
def one_thread():
    """For tests of many tiny operations: threads would cost more than they save, most of all on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def in_fp64():
    """For identities: numbers are made in fp64, and the same in every run."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    yield
    torch.set_default_dtype(before)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also run tests marked long, and draw many more cases")


def pytest_configure(config):
    settings.load_profile("long" if config.getoption("--long") else "default")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="long: run with --long"))
