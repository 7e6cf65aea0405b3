import numpy as np
import pytest
from skimage import data
from skimage.restoration import denoise_nl_means

from segmentry.filters.non_local_means import NonLocalMeans
from segmentry.image import Grid, Image


def by_definition(image, patch, search, strength, noise):
    """Return the mean over the search window, weighted by the distance of patches, shift by shift."""
    offsets = np.stack(np.meshgrid(*[np.arange(-p, p + 1) for p in patch], indexing="ij"), -1).reshape(-1, image.ndim)
    curve = np.exp(-0.5 * ((offsets / (np.maximum(patch, 1) / 2)) ** 2).sum(axis=1))
    curve /= curve.sum()
    border = np.add(patch, search)
    padded = np.pad(image, [(p, p) for p in patch], mode="symmetric")
    wide = np.pad(padded, [(s, s) for s in search], constant_values=np.nan)
    inside = np.pad(np.ones(image.shape, bool), [(b, b) for b in border])

    def cut(array, at):
        return array[tuple(slice(a, a + n) for a, n in zip(at, image.shape, strict=True))]

    total, weight = np.zeros(image.shape), np.zeros(image.shape)
    for shift in np.ndindex(*(2 * s + 1 for s in search)):
        distance = sum(
            c * (cut(padded, o + patch) - cut(wide, o + patch + shift)) ** 2
            for c, o in zip(curve, offsets, strict=True)
        )
        w = np.exp(-np.maximum(distance - 2 * noise**2, 0) / strength**2)
        seen = cut(inside, np.add(shift, patch))
        total += np.where(seen, w * cut(wide, np.add(shift, patch)), 0)
        weight += np.where(seen, w, 0)
    return total / weight


@pytest.mark.parametrize(("patch", "search"), [(1, 3), (2, 2), (0, 4), (3, 1)])
def test_is_the_weighted_mean_of_the_definition(patch, search):
    # 40 rows and more than one block of rows.
    image = data.coins()[100:140, 90:125].astype(float)
    step = NonLocalMeans(patch=patch, search=search, strength=0.9, noise_=(9.0,))
    expected = by_definition(image, (patch,) * 2, (search,) * 2, 0.9 * 9, 9)
    # Patches that reach out of the window are mirrored in both; what is not a number lies out of reach.
    assert step.apply(Image.from_array(image)).read() == pytest.approx(np.nan_to_num(expected), abs=2e-3)


def test_is_the_weighted_mean_of_the_definition_in_volumes_with_spacing():
    image = np.random.default_rng(0).normal(10, 1, (11, 12, 9))
    step = NonLocalMeans(patch="2 um", search="3 um", noise_=(1.0,))
    found = step.apply(Image(image, Grid("ZYX", image.shape, (2.0, 1.0, 1.0), "um"))).read()
    assert found == pytest.approx(by_definition(image, (1, 2, 2), (2, 3, 3), 1, 1), abs=1e-4)


@pytest.mark.parametrize("name", ["coins", "camera"])
def test_agrees_with_scikit_image_on_photographs(name):
    # Theirs takes weights from a coarse table and cuts them off at exp(-5): within 1.5 % of the range away from the
    # edges (where it mirrors otherwise), and 0.1 % on average.
    image = getattr(data, name)()[100:180, 150:220] / 255
    image = image + np.random.default_rng(0).normal(0, 0.06, image.shape)
    theirs = denoise_nl_means(image, patch_size=5, patch_distance=5, h=0.06, sigma=0.06, fast_mode=False)
    found = NonLocalMeans(patch=2, search=5, strength=1, noise_=(0.06,)).apply(Image.from_array(image)).read()
    difference = np.abs(found - theirs)[7:-7, 7:-7]
    assert difference.max() < 0.015
    assert difference.mean() < 0.001


def test_a_pattern_that_repeats_is_kept():
    y, x = np.indices((64, 64))
    stripes = 100.0 * ((x // 2 + y // 2) % 2)
    image = stripes + np.random.default_rng(0).normal(0, 15, stripes.shape)
    found = NonLocalMeans(noise_=(15.0,)).apply(Image.from_array(image)).read()
    assert np.abs(found - stripes).mean() < np.abs(image - stripes).mean() / 2


def test_searching_nowhere_changes_nothing():
    image = Image.from_array(data.coins()[:40, :40])
    assert np.array_equal(NonLocalMeans(search=0).apply(image).read(), image.read())
