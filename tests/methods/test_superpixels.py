import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from skimage import color, data, segmentation
from skimage.metrics import adapted_rand_error

from segmentry.errors import ParameterError
from segmentry.image import Image
from segmentry.kernels import graph_regions
from segmentry.kernels.components import label_components
from segmentry.labelling import survey
from segmentry.methods.felzenszwalb import Felzenszwalb
from segmentry.methods.slic import Slic
from segmentry.run import run
from segmentry.testing import sample_image

SECTION = data.immunohistochemistry()


def pieces(method, pixels, axes="YX", **more):
    return np.asarray(run(method, Image.from_array(pixels, axes, **more)).instances.labels).astype(int)


def explained(features, labels):
    """Return the share of the variance that the means of superpixels explain."""
    flat, at = features.reshape(-1, features.shape[-1]), labels.ravel()
    count = np.maximum(np.bincount(at), 1)
    means = np.stack([np.bincount(at, c) / count for c in flat.T], axis=1)
    return ((means[at] - flat.mean(axis=0)) ** 2).sum() / ((flat - flat.mean(axis=0)) ** 2).sum()


def recall(labels, truth):
    """Return the share of true borders with a border of superpixels within two pixels."""
    near = binary_dilation(segmentation.find_boundaries(labels), iterations=2)
    return near[segmentation.find_boundaries(truth)].mean()


@pytest.mark.parametrize("method", [Slic(), Felzenszwalb()], ids=lambda m: m.name)
@pytest.mark.parametrize("axes", ["YX", "ZYX", "CYX"])
def test_every_pixel_is_in_one_connected_superpixel(method, axes):
    image = sample_image(axes)
    found = run(method, image).instances
    labels = np.asarray(found.labels)
    assert labels.min() == 1
    assert label_components(labels.astype(np.uint32), full=method.name == "felzenszwalb")[1] == len(found)


@pytest.mark.parametrize(("pixels", "axes", "weight"), [(SECTION, "YXC", 10), (data.camera(), "YX", 0.1)])
def test_slic_explains_as_much_as_scikit_images(pixels, axes, weight):
    theirs = segmentation.slic(
        pixels, 700, compactness=weight, channel_axis=-1 if axes == "YXC" else None, start_label=1
    )
    ours = pieces(Slic(n_segments=int(0.8 * theirs.max())), pixels, axes)
    assert ours.max() <= theirs.max()
    features = color.rgb2lab(pixels) if axes == "YXC" else pixels[..., None].astype(float)
    assert explained(features, ours) > explained(features, theirs) - 0.01


def test_slic_follows_the_borders_of_coins():
    pixels = data.coins()
    truth = pixels > 110
    theirs = segmentation.slic(pixels, 500, compactness=0.1, channel_axis=None)
    assert recall(pieces(Slic(n_segments=500), pixels), truth) > recall(theirs, truth) - 0.02


def test_there_are_about_as_many_superpixels_as_asked_for():
    noise = np.random.default_rng(0).normal(0, 1, (100, 150))
    for n in (10, 100, 600):
        assert pieces(Slic(n_segments=n, compactness=100), noise).max() == pytest.approx(n, rel=0.25)
    assert pieces(Slic(n_segments=1), noise).max() == 1
    thin = np.random.default_rng(0).normal(0, 1, (2, 80, 80))
    assert pieces(Slic(n_segments=64, compactness=100), thin, "ZYX").max() == pytest.approx(64, rel=0.25)


def test_superpixels_are_as_deep_as_wide_in_space():
    noise = np.random.default_rng(0).normal(0, 1, (20, 60, 60))
    for spacing in ((2, 1, 1), (4, 1, 1)):
        labels = pieces(Slic(size="10 um", compactness=100, sigma=1), noise, "ZYX", spacing=spacing)
        held = survey(labels.astype(np.uint32))
        extent = (held.upper - held.lower)[(held.lower > 0).all(axis=1) & (held.upper < labels.shape).all(axis=1)]
        depth, height, width = np.median(extent, axis=0) * spacing
        assert depth == pytest.approx(height, rel=0.35)
        assert height == pytest.approx(width, rel=0.2)


def test_superpixels_narrower_than_a_pixel_are_refused():
    with pytest.raises(ParameterError, match=r"slic.size \(0.1 um\): 0.2 pixels"):
        pieces(Slic(size="0.1 um"), data.coins(), spacing=(0.5, 0.5))


@pytest.mark.parametrize(
    ("pixels", "axes"), [(data.camera()[:, 100:400], "YX"), (SECTION[:200], "YXC")], ids=["camera", "section"]
)
@pytest.mark.parametrize(("scale", "min_size"), [(300, 50), (1000, 20)])
def test_felzenszwalbs_regions_are_scikit_images(pixels, axes, scale, min_size):
    theirs = segmentation.felzenszwalb(
        pixels / 255, scale=scale, sigma=0.8, min_size=min_size, channel_axis=-1 if axes == "YXC" else None
    )
    ours = pieces(Felzenszwalb(scale=scale, min_size=min_size), pixels, axes)
    assert adapted_rand_error(theirs + 1, ours)[0] < 0.01
    assert ours.max() == pytest.approx(theirs.max() + 1, rel=0.02)


def test_clear_blocks_are_found_in_two_and_three_dimensions():
    rng = np.random.default_rng(0)
    for shape in ((40, 60), (8, 20, 30)):
        truth = np.ones(shape, int)
        truth[..., shape[-1] // 2 :] = 2
        truth[..., 4:10, 4:10] = 3
        pixels = np.array([0, 50, 120, 200])[truth] + rng.normal(0, 5, shape)
        labels = pieces(Felzenszwalb(sigma=0, min_size=5, scale=1000), pixels, "ZYX"[3 - len(shape) :])
        assert adapted_rand_error(truth, labels)[0] < 0.001


def test_edges_sorted_in_parts_give_the_same_regions(monkeypatch):
    pixels = SECTION[:80, :90]
    whole = pieces(Felzenszwalb(scale=100), pixels, "YXC")
    monkeypatch.setattr(graph_regions, "AT_ONCE", 0.3)
    assert np.array_equal(pieces(Felzenszwalb(scale=100), pixels, "YXC"), whole)


def test_regions_grow_with_scale_and_none_is_too_small():
    counts = [pieces(Felzenszwalb(scale=scale, min_size=30), data.coins()).max() for scale in (50, 200, 800)]
    assert counts[0] > counts[1] > counts[2]
    labels = pieces(Felzenszwalb(min_size="40 um2", sigma=0), data.coins(), spacing=(0.5, 0.5))
    assert np.bincount(labels.ravel())[1:].min() >= 160
