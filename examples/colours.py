"""How much of a tissue is stained: k-means on a colour photograph of a section.

The section is stained for a protein (brown) and with haematoxylin (blue nuclei). Five classes of colour are asked for:
the pale ground and four kinds of tissue. Colours are compared in CIELAB, whose third number, b, says how yellow a
colour is; a class counts as brown where it is 15 or more.
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data

from segmentry import Image, Semantic
from segmentry.filters.gaussian import Gaussian
from segmentry.methods.kmeans import KMeans
from segmentry.picture import draw_overview
from segmentry.run import run

out = Path(sys.argv[1] if len(sys.argv) > 1 else "colours-output")
out.mkdir(parents=True, exist_ok=True)

image = Image.from_array(skimage.data.immunohistochemistry(), "YXC")
outcome = run(KMeans(n_classes=5, background="brightest"), image, filters=[Gaussian(sigma=1.5)])
classes = outcome.result.classes
centres = np.array(outcome.segmenter.centres_)  # (class, 3): L, a, b
brown = np.isin(classes, np.flatnonzero(centres[:, 2] >= 15))

tissue = np.count_nonzero(classes) / classes.size
print(f"tissue: {tissue:.0%} of the picture; brown: {brown.mean() / tissue:.0%} of the tissue")

stained = Semantic(brown.astype(np.uint8), outcome.result.grid, ("background", "stained")).instances()
draw_overview(image, stained, "stained brown").save(out / "colours.png")
