"""Measure speed and memory and print the tables of docs/benchmarks.md: make bench."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

from cases import loop_cases, whole_cases
from clustering import clustering_cases
from denoising import denoising_cases
from features import feature_cases
from forests import forest_cases
from graphs import graph_cases
from harness import REPEATS, peak_memory, row
from measuring import measuring_cases

from filters import filter_cases

MEMORY = """
import numpy as np, zarr
from pathlib import Path
from segmentry.io import read, write_labels
from segmentry.run import run
from segmentry.methods.watershed import Watershed
from segmentry.cleaning.drop_small import DropSmall
image = read(Path({path!r}))
outcome = run(Watershed(threshold=3000), image, cleaners=[DropSmall(min_size=30)], workspace=Path({folder!r}))
write_labels(Path({folder!r}) / "labels.zarr", outcome.instances, overwrite=True)
"""


def main() -> None:
    """Print both tables."""
    print(f"Medians of {REPEATS} interleaved runs in one process; Python {platform.python_version()}.\n")
    print("| what | segmentry | memory | the usual way | takes | memory | ratio | agreement |")
    print("|---|---|---|---|---|---|---|---|")
    for cases in (
        loop_cases,
        whole_cases,
        measuring_cases,
        filter_cases,
        denoising_cases,
        clustering_cases,
        graph_cases,
        feature_cases,
        forest_cases,
    ):
        for case in cases():
            print(row(case), flush=True)
    print("\n| whole process: OME-Zarr to labels.zarr, watershed | pixels | peak memory | time |\n|---|---|---|---|")
    for side in (4096, 8192, 16_384):
        with tempfile.TemporaryDirectory() as folder:
            path = make_zarr(Path(folder) / "image.zarr", side)
            peak, seconds = peak_memory(MEMORY.format(path=str(path), folder=folder))
        print(f"| {side}² uint16 | {side**2 / 1e6:.0f} M | {peak:.0f} MB | {seconds:.0f} s |", flush=True)


def make_zarr(path: Path, side: int) -> Path:
    """Write an image of nuclei, the same 2048² tile over and over, to an OME-Zarr."""
    import numpy as np
    from cases import nuclei

    from segmentry.image import Grid, Image
    from segmentry.io import write

    tile, _ = nuclei(2048)

    class Repeated:
        shape, dtype = (side, side), tile.dtype

        def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
            rows, columns = (np.arange(*s.indices(side)) % 2048 for s in key)
            return tile[np.ix_(rows, columns)]

    return write(path, Image(Repeated(), Grid("YX", (side, side), (0.5, 0.5), "um")))


if __name__ == "__main__":
    main()
