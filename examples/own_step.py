"""A method of one's own in a few lines: pixels that are brighter than their surroundings.

Its fields are its parameters, `halo` says how far it looks, and what it must know of the whole image it learns in
`prepare`. With that it runs with filters and cleaners, over time and in tiles, and the tiles can't be told from the
labels.
"""

import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import skimage.data
from pydantic import Field

from segmentry import Image, Semantic
from segmentry.cleaning.drop_small import DropSmall
from segmentry.cleaning.fill_holes import FillHoles
from segmentry.filters.gaussian import Gaussian, reach, smooth
from segmentry.length import Length
from segmentry.picture import draw_overview
from segmentry.run import run
from segmentry.step import Segmenter


class LocalContrast(Segmenter):
    """Finds pixels that are brighter than their surroundings."""

    name: ClassVar[str] = "local_contrast"
    task: ClassVar[str] = "semantic"

    sigma: Length = Field(Length(40), description="How wide the surroundings are.")
    contrast: float = Field(0.05, ge=0, le=1, description="How much brighter, as a share of the range of the image.")
    range_: tuple[float, float] | None = Field(None, description="Lowest and highest intensity, learned.")

    def halo(self, grid):
        return reach(self.sigma.pixels(grid))

    def prepare(self, overview):
        return self.model_copy(update={"range_": overview.range()})

    def segment(self, image):
        low, high = self.prepared(image).range_
        pixels = image.read().astype(np.float32)
        around = smooth(pixels, self.sigma.pixels(image.grid))
        return Semantic((pixels - around > self.contrast * (high - low)).astype(np.uint8), image.grid)


out = Path(sys.argv[1] if len(sys.argv) > 1 else "own_step-output")
out.mkdir(parents=True, exist_ok=True)

image = Image.from_array(skimage.data.coins())
steps = {"filters": [Gaussian(sigma=2)], "cleaners": [FillHoles(), DropSmall(min_size=200)]}
whole = run(LocalContrast(), image, **steps)
tiled = run(LocalContrast(), image, tile=64, **steps)
same = np.array_equal(whole.instances.labels, tiled.instances.labels)
print(f"{len(whole.instances)} coins; in tiles of 64 pixels: {'the same' if same else 'others'}")
draw_overview(image, whole.instances, "brighter than their surroundings").save(out / "own_step.png")
