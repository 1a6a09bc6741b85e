"""Benchmarks: `python -m adasoft bench plan|cost|layer|decode`. Each prints tables and returns a record for JSON."""

from .common import provenance, save
from .cost import bench_cost, bench_regret
from .decode import bench_decode
from .layer import bench_layer
from .search import bench_cutoffs, bench_plan

__all__ = [
    "bench_cost",
    "bench_cutoffs",
    "bench_decode",
    "bench_layer",
    "bench_plan",
    "bench_regret",
    "provenance",
    "save",
]
