import numpy as np
import pytest
from skimage import data
from skimage.filters import sobel
from skimage.segmentation import watershed

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import smooth
from segmentry.foreground import TOP, distance_levels
from segmentry.gradients import slopes, steepness
from segmentry.image import Image
from segmentry.kernels.compact import compact_flood
from segmentry.methods.compact_watershed import CompactWatershed
from segmentry.methods.gradient_watershed import GradientWatershed
from segmentry.methods.intensity_watershed import IntensityWatershed
from segmentry.methods.otsu import Otsu
from segmentry.methods.watershed import Watershed
from segmentry.run import run
from segmentry.testing import sample_image

METHODS = [Watershed, IntensityWatershed, GradientWatershed, CompactWatershed]
ALL = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
SEEDS = ((45, 40), (45, 95), (115, 40), (185, 330))


def labels_of(method, pixels, **geometry):
    return np.asarray(run(method, Image.from_array(pixels, **geometry)).instances.labels)


def same(one, other):
    """Return the share of pixels on which two divisions agree, whatever the numbers."""
    pairs, counts = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1, return_counts=True)
    best = {}
    for (a, _), n in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        best[a] = max(best.get(a, 0), n)
    return sum(best.values()) / one.size


def two_hills(gap=26, heights=(150.0, 150.0)):
    place = np.indices((60, 120))
    return sum(
        h * np.exp(-((place[0] - 30) ** 2 + (place[1] - x) ** 2) / 200)
        for x, h in zip((60 - gap // 2, 60 + gap // 2), heights, strict=True)
    )


@pytest.mark.parametrize("compactness", [0.05, 3.0])
@pytest.mark.parametrize("pixels", [data.coins(), data.cell()[::2, ::2]], ids=["coins", "cell"])
def test_compact_flooding_is_scikit_images(pixels, compactness):
    heights = sobel(pixels.astype(np.float64)).astype(np.float32)
    seeds = np.zeros(heights.shape, np.uint32)
    grid = seeds[10::20, 10::20]
    grid[...] = np.arange(1, grid.size + 1).reshape(grid.shape)
    mask = pixels > np.median(pixels) / 2
    found = compact_flood(heights, seeds, mask, (1, 1), compactness)
    expected = watershed(heights, seeds.astype(np.int32), mask=mask, compactness=compactness)
    assert (found == expected).mean() >= 0.995


def test_compact_flooding_measures_true_distances():
    seeds = np.zeros((2, 9, 9), np.uint32)
    seeds[0, 4, 1], seeds[1, 4, 7] = 1, 2
    mask = np.ones(seeds.shape, np.bool_)
    near, far = (compact_flood(np.zeros(seeds.shape, np.float32), seeds, mask, (z, 1, 1), 1.0) for z in (0.1, 50))
    assert near[1, 4, 2] == 1
    assert far[1, 4, 2] == 2


def test_intensity_watershed_agrees_with_scikit_image_from_the_same_seeds():
    pixels = data.coins()
    found = labels_of(IntensityWatershed(seeds=SEEDS, sigma=2), pixels)
    smoothed = smooth(pixels.astype(np.float32), (2.0, 2.0))
    mask = smoothed > run(Otsu(), Image.from_array(pixels)).segmenter.thresholds()[0]
    markers = np.zeros(pixels.shape, np.int32)
    for number, at in enumerate(SEEDS, 1):
        markers[at] = number
    expected = watershed(-smoothed, markers, mask=mask | (markers > 0), connectivity=2)
    assert np.array_equal(found > 0, expected > 0)
    assert same(found, expected) >= 0.99


def test_gradient_watershed_agrees_with_scikit_image_from_the_same_markers():
    image = Image.from_array(data.coins())
    method = GradientWatershed(sigma=2).prepared(image)
    pixels, mask, _ = method.parted(image)
    markers, background = method._markers(mask, image.grid)
    steep = steepness(slopes(pixels, (1, 1)))
    expected = watershed(steep, markers.astype(np.int32))
    expected[expected == background] = 0
    found = np.asarray(method.segment(image).labels)
    assert ((found > 0) == (expected > 0)).mean() >= 0.99
    assert same(found, expected) >= 0.99


def test_watershed_agrees_with_scikit_image_from_the_same_seeds():
    pixels = data.coins()
    found = labels_of(Watershed(seeds=SEEDS, sigma=2), pixels)
    mask = smooth(pixels.astype(np.float32), (2.0, 2.0)) > 107
    levels = distance_levels(mask, Image.from_array(pixels).grid)
    markers = np.zeros(pixels.shape, np.int32)
    for number, at in enumerate(SEEDS, 1):
        markers[at] = number
    expected = watershed(TOP - levels.astype(np.int32), markers, mask=mask | (markers > 0), connectivity=2)
    assert np.array_equal(found > 0, expected > 0)
    assert same(found, expected) >= 0.99


def test_two_hills_are_parted_at_the_valley_and_only_if_it_is_deep_enough():
    labels = labels_of(IntensityWatershed(sigma=0, threshold=20), two_hills())
    assert labels.max() == 2
    assert labels[30, 47] != labels[30, 73]
    border = np.flatnonzero(np.diff(labels[30, 48:73])) + 48
    assert abs(border[0] - 60) <= 1
    assert labels_of(IntensityWatershed(sigma=0, threshold=20, contrast=0.9), two_hills()).max() == 1


def test_a_hollow_parts_no_object_when_only_shape_counts():
    place = np.indices((60, 60)) - 30
    pixels = 100.0 * ((place**2).sum(axis=0) < 400) - 40.0 * (np.abs(place[1]) < 3)
    by_light, by_shape = (labels_of(IntensityWatershed(sigma=1, threshold=30, shape=s), pixels) for s in (0, 1))
    assert by_light.max() == 2
    assert by_shape.max() == 1


def test_gradient_watershed_moves_the_outline_to_the_edge():
    place = np.indices((70, 70)) - 35
    truth = (place**2).sum(axis=0) < 18**2
    pixels = np.where(truth, 100.0, 10.0)
    # A level that is too high leaves out what is dimmer towards the rim.
    pixels -= np.where(truth, np.sqrt((place**2).sum(axis=0)) * 2, 0)
    tight = labels_of(Watershed(threshold=75, sigma=0), pixels) > 0
    edge = labels_of(GradientWatershed(threshold=75, sigma=0, band=8), pixels) > 0
    assert tight.sum() < 0.6 * truth.sum()
    assert edge.sum() == pytest.approx(truth.sum(), rel=0.1)


def test_a_background_narrower_than_the_band_stays_background():
    pixels = np.full((60, 60), 100.0)
    pixels[28:31] = 0
    labels = labels_of(GradientWatershed(sigma=0, band=10), pixels)
    assert labels.max() == 2
    assert not labels[29].any()
    assert labels[20].all()


def test_a_grid_divides_the_whole_image_into_patches_of_one_size():
    patches = labels_of(CompactWatershed(markers="grid", step=20, compactness=1), data.coins())
    sizes = np.bincount(patches.ravel())[1:]
    assert len(sizes) == round(303 / 20) * round(384 / 20)
    assert patches.all()
    assert sizes.min() > 0.5 * sizes.mean()
    assert sizes.max() < 2 * sizes.mean()


def test_more_compactness_gives_patches_of_more_even_size():
    patches = [labels_of(CompactWatershed(markers="grid", compactness=c), data.coins()) for c in (0, 0.02, 2)]
    spreads = [np.bincount(p.ravel())[1:].std() for p in patches]
    assert spreads == sorted(spreads, reverse=True)


@ALL
def test_each_given_seed_is_an_object_even_in_the_background(method):
    found = run(method(seeds=((2, 2), *SEEDS)), Image.from_array(data.coins())).instances
    labels = np.asarray(found.labels)
    assert len({int(labels[at]) for at in ((2, 2), *SEEDS)} - {0}) == 5
    assert len(found) == 5


@ALL
@pytest.mark.parametrize(
    ("seeds", "said"), [(((100, 1),), "outside"), (((1, 2, 3),), "3 numbers"), (((1, 1), (1, 1)), "twice")]
)
def test_impossible_seeds_are_refused_in_one_line(method, seeds, said):
    with pytest.raises(ParameterError, match=rf"{method.name}\.seeds.*{said}"):
        run(method(seeds=seeds), sample_image())


@ALL
def test_a_local_radius_finds_objects_under_uneven_light(method):
    place = np.indices((120, 200))
    truth = np.zeros((120, 200), np.bool_)
    for y in (25, 60, 95):
        for x in range(25, 190, 30):
            truth |= (place[0] - y) ** 2 + (place[1] - x) ** 2 < 64
    pixels = truth * 40.0 + place[1] * 1.0 + np.random.default_rng(0).normal(0, 2, truth.shape)
    plain, local = (run(method(local_radius=r), Image.from_array(pixels)) for r in (None, 20))
    right = [((np.asarray(f.instances.labels) > 0) == truth).mean() for f in (plain, local)]
    assert right[0] < 0.85
    assert right[1] > 0.93
    assert len(local.instances) == 18
    assert local.segmenter.thresholds() == ()


def test_a_local_radius_beyond_all_bounds_is_refused():
    with pytest.raises(ParameterError, match="local_radius"):
        run(Watershed(local_radius=600), sample_image())


def test_seeds_and_a_grid_exclude_each_other():
    with pytest.raises(ParameterError, match="grid"):
        CompactWatershed(markers="grid", seeds=((1, 1),))
