"""Stars and galaxies by a recipe: written once, run on a file, and replayed from the output's own record.

The recipe is the text that `segmentry segment sky.png --recipe recipe.yaml -o OUT` takes. Each bright spot grows to
half of its own height, so that a faint galaxy beside a bright star keeps its outline.
"""

import sys
from pathlib import Path

import skimage.data

import segmentry
from segmentry.job import segment_file
from segmentry.picture import draw_overview
from segmentry.replay import replay

out = Path(sys.argv[1] if len(sys.argv) > 1 else "recipe-output")
out.mkdir(parents=True, exist_ok=True)

(out / "recipe.yaml").write_text("""\
segmentry: 1
filters:
  - background: {radius: 40}
method:
  region_growing: {sigma: 1, min_contrast: 0.2, tolerance: 0.5}
cleaning:
  - drop_small: {min_size: 15}
""")
image = segmentry.Image.from_array(skimage.data.hubble_deep_field(), "YXC")
segmentry.write(out / "sky.png", image, overwrite=True)

recipe = segmentry.Recipe.read(out / "recipe.yaml")
record = segment_file(out / "sky.png", out / "sky", recipe, overwrite=True)
differences = replay(out / "sky").differences
print(f"{record['objects']} objects; replayed: {differences or 'the same, byte for byte'}")

labels = segmentry.read_labels(out / "sky" / "labels.ome.tif")
draw_overview(image, labels, f"{len(labels)} stars and galaxies").save(out / "recipe.png")
