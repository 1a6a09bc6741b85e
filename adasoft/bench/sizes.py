"""What `bench layer` and `bench cost` time: the sizes people use, and sizes of a moment that show that all works."""

from __future__ import annotations

from dataclasses import dataclass

#: V and the cutoffs there.
Cut = tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """Sizes of one run of `bench layer`."""

    layers: tuple[Cut, ...]
    """At d = 512 and B = 2560, against everything."""
    shapes: tuple[tuple[int, int, int, tuple[int, ...]], ...]
    """(V, d, B, cutoffs), in pairs with PyTorch's layer: small and large in every direction."""
    pair_seconds: float
    """That the pairs of one shape take together, at least."""
    missed: tuple[int, ...]
    """Which of the shapes are timed with batches that miss all tails, too."""
    vocabularies: tuple[Cut, ...]
    """On a GPU, for each of ``widths`` (d) and ``tokens`` (N). The middle comes first: what the time does not reach is
    the outside."""
    widths: tuple[int, ...]
    tokens: tuple[int, ...]
    against: tuple[int, float, tuple[tuple[int, int], ...]]
    """V, floor of the head's share, and (d, N), of the comparison with full softmaxes on a GPU."""


SIZES = Sizes(
    layers=((44_000, (2_000, 10_000)), (267_735, (20_000, 40_000, 200_000))),
    shapes=(
        (2_000, 64, 64, (500,)),
        (2_000, 2048, 64, (500,)),
        (2_000, 64, 16_384, (400, 1_000)),
        (10_000, 128, 512, (2_000,)),
        (10_000, 2048, 2048, (1_000, 4_000)),
        (33_278, 256, 2560, (2_000, 10_000)),
        (44_000, 512, 2560, (2_000, 10_000)),
        (44_000, 1024, 1024, (2_000, 10_000)),
        (50_000, 64, 16_384, (1_000, 8_000)),
        (100_000, 512, 640, (4_000, 20_000)),
        (100_000, 1024, 2048, (2_000, 20_000, 50_000)),
        (143_000, 256, 2560, (2_000, 10_000)),
        (200_000, 128, 8192, (5_000, 40_000)),
        (267_735, 512, 640, (20_000, 40_000, 200_000)),
        (267_735, 1024, 64, (20_000, 40_000, 200_000)),
        (320_000, 512, 256, (4_000, 40_000, 200_000)),
        (500_000, 256, 2048, (8_000, 60_000, 250_000)),
        (793_471, 256, 1024, (4_000, 40_000, 200_000)),
        (800_000, 64, 4096, (4_000, 40_000, 200_000)),
        (800_000, 2048, 64, (2_000, 20_000, 200_000)),
    ),
    pair_seconds=1.0,
    missed=(6, 9, 14),
    vocabularies=(
        (256_000, (20_000, 40_000, 200_000)),
        (50_000, (2_000, 10_000)),
        (1_000_000, (4_000, 40_000, 200_000)),
        (128_000, (4_000, 20_000)),
    ),
    widths=(1024, 512, 2048, 4096),
    tokens=(16_384, 8_192, 32_768),
    against=(256_000, 0.75, ((1024, 8_192), (2048, 8_192), (512, 16_384))),
)
TINY = Sizes(
    layers=((600, (60, 200)),),
    shapes=tuple((500 + i, 16, 64, (50, 200)) for i in range(3)),
    pair_seconds=0.0,
    missed=(0,),
    vocabularies=((600, (60, 200)), (500, (100,))),
    widths=(64,),
    tokens=(32, 48),
    against=(20_000, 0.75, ((32, 512),)),
)
