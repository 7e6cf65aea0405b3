"""Moving cells, counted at every time point.

Five cells cross the picture, and one divides half-way. A series is segmented with one threshold, learned from all time
points together, so that the counts can be compared.
"""

import sys
from pathlib import Path

import numpy as np

import segmentry
from segmentry.analysis.measure import Measure
from segmentry.picture import draw_overview

out = Path(sys.argv[1] if len(sys.argv) > 1 else "time_series-output")
out.mkdir(parents=True, exist_ok=True)

rng = np.random.default_rng(2)
start = np.array([(24.0, 20.0), (48, 70), (72, 30), (96, 90), (110, 40)])  # row, column
speed = rng.uniform((-1, 1), (1, 3), (5, 2))  # pixels from one time point to the next
rows, columns = np.indices((128, 160))
frames = []
for t in range(12):
    cells = list(start + speed * t)
    if t >= 6:
        apart = np.array((2.0 * (t - 5), 0))
        cells[1:2] = cells[1] - apart, cells[1] + apart
    bright = [np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 50) for y, x in cells]
    frames.append(rng.poisson(10 + 90 * np.max(bright, axis=0)))

image = segmentry.Image.from_array(np.array(frames, np.uint16), "TYX", spacing=(0.65, 0.65), unit="um")
outcome = segmentry.segment(image, "watershed", sigma=2)
table = Measure().analyse(outcome.instances, image)
counts = table.groupby("time").size()

print("cells at each time point:", *counts)
table.to_csv(out / "objects.csv", index=False)
draw_overview(image, outcome.instances, "cells over time").save(out / "time_series.png")
