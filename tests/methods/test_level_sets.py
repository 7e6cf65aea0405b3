import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data, segmentation
from skimage.segmentation import morphsnakes

from segmentry import catalog, segment
from segmentry.errors import ParameterError
from segmentry.filters.gaussian import smooth
from segmentry.image import Image
from segmentry.kernels.distance import distance_to_background
from segmentry.methods.geodesic_active_contour import GeodesicActiveContour
from segmentry.overview import Overview
from segmentry.two_phases import checkerboard

LEVEL_SETS = ("chan_vese", "morphological_chan_vese", "geodesic_active_contour")


@pytest.fixture(autouse=True)
def fresh_turns(monkeypatch):
    """scikit-image keeps the order of its two operators from call to call; each test starts with the first."""
    one, other = morphsnakes.sup_inf, morphsnakes.inf_sup
    turns = morphsnakes._fcycle([lambda u: one(other(u)), lambda u: other(one(u))])
    monkeypatch.setattr(morphsnakes, "_curvop", turns)


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def mask(image, name, **parameters):
    return np.asarray(segment(image, name, **parameters).result.classes) > 0


def volume(spacing=(1.0, 1.0, 1.0), noise=20):
    """Two bright balls in noise, and where they are."""
    rng = np.random.default_rng(0)
    shape = tuple(round(n / s) for n, s in zip((30, 40, 60), spacing, strict=True))
    place = np.indices(shape) * np.reshape(spacing, (3, 1, 1, 1))
    truth = np.zeros(shape, bool)
    for centre, radius in (((15, 20, 18), 11), ((14, 18, 45), 9)):
        truth |= ((place - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(axis=0) < radius**2
    pixels = gaussian_filter(truth * 60.0, [0.7 / s for s in spacing]) + rng.normal(80, noise, shape)
    return Image.from_array(np.rint(pixels).clip(0, 255).astype(np.uint8), spacing=spacing), truth


@pytest.mark.parametrize("name", ["coins", "camera"])
def test_chan_vese_is_scikit_images_on_its_scale(name):
    pixels = getattr(data, name)()[::2, ::2]
    found = segment(Image.from_array(pixels), "chan_vese", start="checkerboard", iterations=80)
    # scikit-image brings the range to 0 … 1 and we the classes: its weights of intensities are to make up for that.
    share = found.segmenter.contrast / (int(pixels.max()) - int(pixels.min()))
    weights = {"lambda1": share**-2, "lambda2": share**-2}
    theirs = segmentation.chan_vese(pixels.astype(float), max_num_iter=80, **weights)
    ours = np.asarray(found.result.classes) > 0
    assert max(dice(ours, theirs), dice(ours, ~theirs)) > 0.995


@pytest.mark.parametrize(("name", "smoothing"), [("coins", 2), ("camera", 1)])
def test_morphological_chan_vese_is_scikit_images(name, smoothing):
    pixels = getattr(data, name)()
    ours = mask(
        Image.from_array(pixels), "morphological_chan_vese", start="checkerboard", smoothing=smoothing, iterations=35
    )
    start = np.int8(checkerboard(pixels.shape) > 0)
    theirs = segmentation.morphological_chan_vese(pixels.astype(float), 35, start, smoothing=smoothing) > 0
    assert max(dice(ours, theirs), dice(ours, ~theirs)) > 0.999


def test_morphological_chan_vese_is_scikit_images_in_a_volume():
    image, truth = volume()
    ours = mask(image, "morphological_chan_vese", iterations=12, lambda1=1.2)
    start = segment(image, "otsu").result.classes
    theirs = segmentation.morphological_chan_vese(image.read().astype(float), 12, start, lambda1=1.2) > 0
    assert dice(ours, theirs) > 0.999
    assert dice(ours, truth) > 0.9


@pytest.mark.parametrize(("name", "balloon"), [("cell", -1.0), ("cell", 0.0), ("volume", -1.0)])
def test_geodesic_active_contour_is_scikit_images(name, balloon):
    image = Image.from_array(data.cell()[250:500, 300:550]) if name == "cell" else volume()[0]
    step = GeodesicActiveContour(balloon=balloon, iterations=40).prepare(Overview(image))
    values = smooth(step.scaled(image.read()), (1.5,) * len(image.grid.shape)).astype(np.float64)
    steep = np.sqrt(sum(slope**2 for slope in np.gradient(values)))
    bright = values > step.level
    held = 0.3 * np.median(steep[segmentation.find_boundaries(bright, connectivity=1)])
    landscape = 1 / np.sqrt(1 + 100 * steep)
    start = distance_to_background(~bright, (1,) * values.ndim) <= 4
    theirs = segmentation.morphological_geodesic_active_contour(
        landscape, 40, start, threshold=1 / np.sqrt(1 + 100 * held), balloon=balloon
    )
    assert dice(np.asarray(step.segment(image).classes) > 0, theirs > 0) > 0.999


def test_geodesic_active_contour_finds_coins_in_uneven_light():
    found = segment(Image.from_array(data.coins()), "geodesic_active_contour").result
    areas = np.bincount(np.asarray(found.instances().labels).ravel())[1:]
    assert (areas > 500).sum() == 24
    assert areas.max() < 4000


def test_geodesic_active_contour_finds_blurred_objects_too():
    truth = np.hypot(*(np.indices((120, 120)) - 60)) < 30
    image = Image.from_array(gaussian_filter(truth * 2000.0, 6) + 300)
    assert dice(mask(image, "geodesic_active_contour"), truth) > 0.9


def test_objects_cut_by_the_edge_of_the_image_are_kept():
    place = np.indices((60, 90))
    truth = np.hypot(place[0], place[1] - 30) < 20
    image = Image.from_array((truth * 100).astype(np.uint8))
    for name in LEVEL_SETS:
        assert dice(mask(image, name), truth) > 0.96, name


def test_a_contour_grows_from_seeds_to_an_outline():
    distance = np.hypot(*(np.indices((100, 100)) - 50))
    ring = gaussian_filter(np.where(np.abs(distance - 30) < 2, 100.0, 0), 1)
    found = mask(Image.from_array(ring), "geodesic_active_contour", seeds=[(50, 50)])
    assert dice(found, distance < 29) > 0.95
    with pytest.raises(ParameterError, match=r"\(50, 100\) lies outside the image YX \(100, 100\)"):
        segment(Image.from_array(ring), "geodesic_active_contour", seeds=[(50, 100)])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("chan_vese", {"mu": 1}), ("morphological_chan_vese", {}), ("geodesic_active_contour", {})],
)
def test_finds_balls_in_volumes_with_any_spacing(name, parameters):
    for spacing in ((1.0, 1.0, 1.0), (4.0, 1.0, 1.0)):
        image, truth = volume(spacing, noise=15)
        assert dice(mask(image, name, **parameters), truth) > 0.88, spacing


@pytest.mark.parametrize("name", LEVEL_SETS)
def test_neither_scale_nor_offset_of_intensities_matters(name):
    pixels = data.coins()[:120, :150].astype(np.int32)
    one = mask(Image.from_array(pixels), name)
    assert dice(mask(Image.from_array(pixels * 200 - 3000), name), one) > 0.999
    assert dice(mask(Image.from_array(255 - pixels), name, foreground="dark"), one) > 0.98


@pytest.mark.parametrize("name", [*LEVEL_SETS, "graph_cut"])
@pytest.mark.parametrize("value", [-5, 0, 7])
@pytest.mark.parametrize("foreground", ["bright", "dark"])
def test_an_image_of_one_intensity_holds_nothing(name, value, foreground):
    image = Image.from_array(np.full((12, 13), value, np.int16))
    assert not mask(image, name, foreground=foreground).any()


def test_probabilities_agree_with_the_classes():
    for name in LEVEL_SETS:
        found = catalog.make("method", name, {}).segment(Image.from_array(data.coins()[:100, :100]))
        probable = np.asarray(found.probabilities)
        assert probable.sum(axis=0) == pytest.approx(1)
        assert (probable[1][np.asarray(found.classes) == 1] >= 0.5).all()
        assert (probable[1][np.asarray(found.classes) == 0] <= 0.5).all()
