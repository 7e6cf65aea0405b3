"""How well objects are counted from dots, and how often the interval holds: python benchmarks/dots.py [FOLDER].

Simulated nuclei: models learn from a few images of 192 by 192 pixels, each object of which has a dot, and count others.
The share of the image that nuclei are meant to cover is drawn from 0.05 to 0.5. With FOLDER, which holds BBBC038 (Data
Science Bowl 2018, stage 1, CC0) as benchmarks/nuclei.py describes it, dots are the centroids of the nuclei in some
fluorescence images of 256 by 256 pixels, and others are counted. The other way to count is Otsu's threshold and
connected regions of 20 pixels or more.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from segmentry import Recipe, read, read_labels
from segmentry.density_counting import DensityModel, train_density
from segmentry.dots import Dots
from segmentry.image import Image
from segmentry.result import Instances
from segmentry.simulation import simulate_nuclei

REGIONS = {"segmentry": 1, "method": "otsu", "cleaning": [{"drop_small": {"min_size": 20}}]}
SHAPE = (192, 192)
Row = tuple[float, float, float, float, int]


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, nargs="?")
    arguments.add_argument("--models", type=int, default=8, help="models that are trained for a row")
    arguments.add_argument("--tests", type=int, default=20, help="images that each of them counts")
    given = arguments.parse_args()
    print("| learned from | counted | error | error of Otsu's regions | interval holds | half its width |")
    print("|---|---|---|---|---|---|")
    if given.folder is not None:
        real(given.folder, given.models)
    for images in (3, 6, 12):
        rows: dict[str, list[Row]] = {"0.05 … 0.15": [], "0.15 … 0.3": [], "0.3 … 0.5": [], "0.6 … 0.7": []}
        for number in range(given.models):
            for crowding, found in simulated(number, images, given.tests, list(rows)).items():
                rows[crowding] += found
        for crowding, found in rows.items():
            print(line(f"{images} images", f"cover {crowding}", found), flush=True)
        print(
            line(f"{images} images", "cover 0.05 … 0.5", [r for found in list(rows.values())[:3] for r in found]),
            flush=True,
        )


def simulated(number: int, images: int, tests: int, names: Sequence[str]) -> dict[str, list[Row]]:
    """Return what one model counts in images of different crowding."""
    rng = np.random.default_rng(number)
    taught = [dotted(*simulate_nuclei(SHAPE, 1000 * number + i, density=rng.uniform(0.05, 0.5))) for i in range(images)]
    model = train_density(taught)
    found: dict[str, list[Row]] = {name: [] for name in names}
    bounds = {name: [float(part) for part in name.split(" … ")] for name in names}
    for i in range(tests + 4):
        cover = rng.uniform(0.05, 0.5) if i < tests else rng.uniform(0.6, 0.7)
        image, truth = simulate_nuclei(SHAPE, 1000 * number + 500 + i, density=cover)
        name = next(n for n, (low, high) in bounds.items() if low <= cover <= high)
        found[name].append(row(model, image, len(truth)))
    return found


def real(folder: Path, draws: int) -> None:
    """Print a line for ten and for thirty images of the same set."""
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        told = [r for r in csv.DictReader(file) if r["modality"] == "fluorescence" and r["width"] == "256"]
    ids = np.array(sorted(r["id"] for r in told if r["height"] == "256"))
    for images in (10, 30):
        rows = []
        for number in range(draws):
            order = np.random.default_rng(number).permutation(ids)
            pairs = ((read(folder / "images" / f"{i}.png"), read_labels(folder / "masks" / f"{i}.png")) for i in order)
            bright = ((image.channel(0), truth) for image, truth in pairs)
            taught = [dotted(*next(bright)) for _ in range(images)]
            model = train_density(taught)
            rows += [row(model, *pair) for pair in counted(bright, 10)]
        print(line(f"{images} of BBBC038", "10 others", rows), flush=True)


def counted(pairs: Iterable[tuple[Image, Instances]], most: int) -> list[tuple[Image, int]]:
    return [(image, len(truth)) for (image, truth), _ in zip(pairs, range(most), strict=False)]


def dotted(image: Image, truth: Instances) -> Dots:
    """Return an image with a dot in the middle of each object."""
    from scipy.ndimage import center_of_mass

    labels = np.asarray(truth.labels[...])
    return Dots.at(image, center_of_mass(labels > 0, labels, truth.ids))


def row(model: DensityModel, image: Image, truth: int) -> Row:
    """Return the number, the interval, what regions give, and the truth."""
    found = model.count(image)
    regions = len(Recipe.from_dict(REGIONS).run(image).instances)
    return found.number, found.low, found.high, regions, truth


def line(taught: str, what: str, rows: list[Row]) -> str:
    number, low, high, regions, truth = np.array(rows, np.float64).T
    errors = [np.mean(np.abs(told - truth) / np.maximum(truth, 1)) for told in (number, regions)]
    held = ((low <= truth) & (truth <= high)).mean()
    width = np.mean((high - low) / 2 / np.maximum(truth, 1))
    cells = f"{errors[0]:.1%} | {errors[1]:.1%} | {held:.1%} of {len(rows)} | {width:.0%}"
    return f"| {taught} | {what} | {cells} |"


if __name__ == "__main__":
    main()
