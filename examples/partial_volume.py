"""The volume of small balls in coarse voxels: counting voxels against adding up probabilities.

The voxels are 1 mm wide and 3 mm deep, and the balls 3 to 6 mm in radius, so that most of their voxels are only partly
filled. A threshold takes each of these whole or not at all; how many it takes depends on the rule that found it. The
Gaussian mixture with `partial_volume` tells how full each voxel is, and the sum of that is the volume. The noise is 3%
of the contrast.
"""

import sys
from pathlib import Path

import numpy as np

from segmentry import Image
from segmentry.analysis.class_volumes import ClassVolumes
from segmentry.methods.gaussian_mixture import GaussianMixture
from segmentry.methods.li import Li
from segmentry.methods.otsu import Otsu
from segmentry.methods.triangle import Triangle
from segmentry.picture import draw_overview
from segmentry.run import run

out = Path(sys.argv[1] if len(sys.argv) > 1 else "partial_volume-output")
out.mkdir(parents=True, exist_ok=True)

rng = np.random.default_rng(0)
spacing = np.array((3.0, 1.0, 1.0))  # mm along Z, Y, X
fine = 6  # points per voxel and axis at which it is seen whether they lie in a ball


def filled(radius):
    """Return how full the voxels around one ball are whose centre lies anywhere in a voxel."""
    shape = np.ceil((2 * radius + 6) / spacing).astype(int) // 2 * 2 + 1
    place = (np.moveaxis(np.indices(shape * fine), 0, -1) + 0.5) / fine * spacing
    centre = (shape / 2 + rng.uniform(-0.5, 0.5, 3)) * spacing
    inside = np.linalg.norm(place - centre, axis=-1) < radius
    return inside.reshape(shape[0], fine, shape[1], fine, shape[2], fine).mean(axis=(1, 3, 5))


mixture = GaussianMixture(n_classes=2, partial_volume=True)
print("error of the volume   otsu     li  triangle  gaussian_mixture, summed")
for radius in (3, 4, 5, 6):
    share = np.block([[[filled(radius) for _ in range(3)] for _ in range(3)] for _ in range(2)])
    pixels = 200 + 1000 * share + rng.normal(0, 30, share.shape)
    image = Image.from_array(pixels.astype(np.float32), "ZYX", spacing=spacing, unit="mm")
    truth = 18 * 4 / 3 * np.pi * radius**3
    errors = {}
    for method in (Otsu(), Li(), Triangle(), mixture):
        outcome = run(method, image, probabilities=True)
        ball = ClassVolumes().analyse(outcome.result).iloc[1]
        column = "summed_volume_mm3" if method is mixture else "counted_volume_mm3"
        errors[method.name] = ball[column] / truth - 1
    print(f"radius {radius} mm      ", *(f"{error:+8.1%}" for error in errors.values()))

draw_overview(image, outcome.instances, "balls of 6 mm in voxels of 1 x 1 x 3 mm").save(out / "partial_volume.png")
