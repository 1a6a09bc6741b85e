"""Benchmarks: `python -m adasoft bench plan|cost|layer ...`. Each prints tables and returns a record."""

from .adversarial import CONTEST_TINY, Contest, adversarial_lines, bench_adversarial
from .attention import attention_lines, bench_attention
from .attention_cells import ATTENTION_GPU, ATTENTION_SIZES, ATTENTION_TINY
from .common import provenance, save
from .compare import bench_compare, bench_svd
from .compress import bench_compress
from .compress_sizes import COMPRESS_TINY, COMPRESS_TOKENS, CompressSizes, compress_sizes
from .cost import bench_cost, bench_regret, tiny_cost
from .decode import bench_decode
from .gpu import bench_gpu
from .kerbs import bench_kerbs
from .kerbs_cells import KERBS_TINY, KerbsSizes
from .layer import bench_layer
from .margins import bench_margins
from .memory import MEMORY_TINY, MemorySizes, bench_memory, memory_lines
from .search import authors_cutoffs_of, bench_cutoffs, bench_plan
from .sizes import SIZES, TINY
from .training import bench_train

__all__ = [
    "ATTENTION_GPU",
    "ATTENTION_SIZES",
    "ATTENTION_TINY",
    "COMPRESS_TINY",
    "COMPRESS_TOKENS",
    "CONTEST_TINY",
    "KERBS_TINY",
    "MEMORY_TINY",
    "SIZES",
    "TINY",
    "CompressSizes",
    "Contest",
    "KerbsSizes",
    "MemorySizes",
    "adversarial_lines",
    "attention_lines",
    "authors_cutoffs_of",
    "bench_adversarial",
    "bench_attention",
    "bench_compare",
    "bench_compress",
    "bench_cost",
    "bench_cutoffs",
    "bench_decode",
    "bench_gpu",
    "bench_kerbs",
    "bench_layer",
    "bench_margins",
    "bench_memory",
    "bench_plan",
    "bench_regret",
    "bench_svd",
    "bench_train",
    "compress_sizes",
    "memory_lines",
    "provenance",
    "save",
    "tiny_cost",
]
