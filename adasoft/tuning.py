"""Every constant that was tuned on a machine: what it is, where it was measured, and the command that shows it.

All in one place and without torch, so that the cost model bounds its chunks by the numbers that the layer uses. They
change speed and memory only, never a result. Times of the commands depend on the machine; compare two values of a
constant in one sitting.
"""

from __future__ import annotations

# ---------------------------------------------------------------------- buffers

#: Bytes above which the C library (glibc) hands a buffer back to the system, so that every step pays for its page
#: faults again. 2 cores of an AMD EPYC, 2026; ``python -m adasoft calibrate`` (the term "k d beyond").
BEYOND_BYTES = 1 << 25
#: Logits of one chunk on a CPU, at most: in fp32 just below :data:`BEYOND_BYTES`, since longer chunks gain less than
#: those page faults cost. 2 cores of an AMD EPYC, 2026; ``python -m adasoft bench layer``.
CHUNK_ELEMENTS = (1 << 23) - (1 << 14)
#: Rows of one chunk, at least and at most: with fewer, the gradient of the weights is read and written too often for
#: the arithmetic in between; with more, the logits leave the caches. 2 cores of an AMD EPYC, 2026;
#: ``python -m adasoft bench layer``.
CHUNK_ROWS = (64, 1024)
#: Logits of one chunk on a GPU, at most (fp32: 512 MiB). There a chunk bounds the memory and nothing else, since the
#: gradient of the weights goes through memory once for each. NVIDIA H200, 2026;
#: ``python -m adasoft bench layer --device cuda``.
GPU_CHUNK_ELEMENTS = 1 << 27

# ---------------------------------------------------------------------- decoding

#: Rows from which on bounds of blocks of words pay on a CPU: computing them takes as long as the logits of some twenty
#: rows. 2 cores of an AMD EPYC, 2026-11; ``python -m adasoft bench decode --run``.
BOUND_ROWS = 32
#: Price (multiply-adds and what the calls cost, see :mod:`adasoft.decoding`) of a tail's words for all rows up to which
#: a CPU looks at each word instead of testing bounds; mean price of all tails up to which it makes no test at all.
#: 2 cores of an AMD EPYC, 2026-11; ``python -m adasoft bench decode --run``.
SMALL_PRICE = 1 << 22
#: Rows that are so few, and numbers in weights that are so many, that an AMD processor multiplies them faster as the
#: columns of a matrix: 2 cores of an AMD EPYC, 2026-11; ``python -m adasoft bench decode`` (one row). An Intel Xeon
#: takes 2.5 times as long that way, so only AMD's go it.
COLUMN_ROWS, COLUMN_WEIGHTS = 4, 1 << 22
#: Logits of which a CPU finds the best by ``torch.topk`` over all of them, up to 1.3 times faster than by a search with
#: blocks and bounds. 2 cores of an Intel Xeon, 2026-11; ``python -m adasoft bench decode`` (one row).
FEW_LOGITS = 1 << 16
