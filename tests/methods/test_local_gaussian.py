import numpy as np
import pytest
from skimage import data
from skimage.filters import threshold_local

from segmentry import segment


@pytest.mark.parametrize(("name", "foreground"), [("page", "dark"), ("coins", "bright")])
def test_the_level_is_that_of_scikit_image(name, foreground):
    pixels = getattr(data, name)()
    share = (pixels - pixels.min()) / (int(pixels.max()) - pixels.min())
    found = np.asarray(segment(pixels, "local_gaussian", radius=15, foreground=foreground).result.classes) > 0
    level = threshold_local(share, 31, "gaussian", offset=0.05 if foreground == "dark" else -0.05)
    clear = np.abs(share - level) > 2 / 65_535
    assert np.array_equal(found[clear], ((share < level) if foreground == "dark" else (share > level))[clear])
    assert clear.mean() > 0.999
