"""A volume whose planes lie further apart than its pixels: touching balls, split in 3-D and judged against the truth.

The pixels are 0.5 µm wide and the planes 1.5 µm apart. Every length is given in micrometres, so nothing has to be
stretched by hand: the watershed knows that a ball is round in space although it is flat in pixels.
"""

import sys
from pathlib import Path

import numpy as np

import segmentry
from segmentry.metrics import evaluate_images
from segmentry.picture import draw_overview

out = Path(sys.argv[1] if len(sys.argv) > 1 else "volume-output")
out.mkdir(parents=True, exist_ok=True)

spacing = np.array((1.5, 0.5, 0.5))  # µm along Z, Y, X
rng = np.random.default_rng(1)
places = np.stack(np.meshgrid([8, 21], [9, 22, 35, 48], [9, 22, 35, 48], indexing="ij"), axis=-1).reshape(-1, 3)
centres = places + rng.uniform(-1, 1, places.shape)  # µm; neighbours lie about 13 µm apart
radii = rng.uniform(5.5, 7.0, len(centres))  # µm, so that many of them touch
points = np.moveaxis(np.indices((20, 116, 116)), 0, -1) * spacing
depth = np.stack([r - np.linalg.norm(points - c, axis=-1) for c, r in zip(centres, radii, strict=True)])
labels = np.where(depth.max(axis=0) > 0, depth.argmax(axis=0) + 1, 0)
pixels = rng.poisson(20 + 80 * (labels > 0)).astype(np.uint16)

image = segmentry.Image.from_array(pixels, "ZYX", spacing=spacing, unit="um")
outcome = segmentry.segment(image, "watershed", sigma="0.7 um", depth="0.5 um")
truth = segmentry.Instances.from_labels(labels, image.grid)
scores = evaluate_images(outcome.instances, truth)

print(f"{len(outcome.instances)} balls found, {len(truth)} are there; F1 {scores['f1']:.3f}, Dice {scores['dice']:.3f}")
segmentry.write(out / "balls.ome.tif", image, overwrite=True)
segmentry.write_labels(out / "labels.ome.tif", outcome.instances, overwrite=True)
draw_overview(image, outcome.instances, f"{len(outcome.instances)} balls").save(out / "volume.png")
