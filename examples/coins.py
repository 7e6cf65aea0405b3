"""From an image to objects and a table: 24 ancient coins, some of them hardly lit.

The light falls off downwards, so the background is subtracted first. The threshold is set a little lower than the one
that is found automatically, for the sake of the dark coins. Two cleaners fill holes and drop specks.
"""

import sys
from pathlib import Path

import skimage.data

import segmentry
from segmentry.analysis.measure import Measure
from segmentry.cleaning.drop_small import DropSmall
from segmentry.cleaning.fill_holes import FillHoles
from segmentry.filters.background import Background
from segmentry.methods.watershed import Watershed
from segmentry.picture import draw_overview
from segmentry.run import run

out = Path(sys.argv[1] if len(sys.argv) > 1 else "coins-output")
out.mkdir(parents=True, exist_ok=True)

image = segmentry.Image.from_array(skimage.data.coins())
outcome = run(
    Watershed(sigma=2, depth=6, threshold=50),
    image,
    filters=[Background(radius=32)],
    cleaners=[FillHoles(), DropSmall(min_size=300)],
)
coins = outcome.instances
table = Measure().analyse(coins, image)
diameters = table["equivalent_diameter_px"]

print(f"{len(coins)} coins, {diameters.min():.0f} to {diameters.max():.0f} pixels wide")
segmentry.write_labels(out / "labels.ome.tif", coins, overwrite=True)
table.to_csv(out / "objects.csv", index=False)
draw_overview(image, coins, f"{len(coins)} coins").save(out / "coins.png")
