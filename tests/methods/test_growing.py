import numpy as np
import pytest
import SimpleITK
from skimage import data
from skimage.segmentation import flood

from segmentry.errors import ParameterError
from segmentry.image import Image
from segmentry.kernels.floods import Floods, grow_between
from segmentry.methods.confidence_connected import ConfidenceConnected
from segmentry.methods.flood_fill import FloodFill
from segmentry.methods.region_growing import RegionGrowing
from segmentry.run import run
from segmentry.testing import sample_image

IMAGES = [(data.coins(), (45, 45)), (data.cell(), (330, 270)), (data.camera(), (100, 20))]


def labels_of(method, pixels, **geometry):
    return np.asarray(run(method, Image.from_array(pixels, **geometry)).instances.labels)


def noisy_box(shape, box, height):
    pixels = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    pixels[box] += height
    return pixels


@pytest.mark.parametrize(("pixels", "seed"), IMAGES, ids=["coins", "cell", "camera"])
@pytest.mark.parametrize(("multiplier", "iterations", "radius"), [(2.5, 4, 2), (1.5, 2, 1), (3.0, 0, 3)])
def test_confidence_connected_is_that_of_simple_itk(pixels, seed, multiplier, iterations, radius):
    # As real numbers: with whole ones SimpleITK cuts the fractions of its bounds off.
    image = SimpleITK.GetImageFromArray(pixels.astype(np.float32))
    expected = SimpleITK.ConfidenceConnected(image, [seed[::-1]], iterations, multiplier, radius, 1)
    method = ConfidenceConnected(seeds=(seed,), multiplier=multiplier, iterations=iterations, radius=radius, sigma=0)
    assert np.array_equal(labels_of(method, pixels), SimpleITK.GetArrayFromImage(expected))


def test_confidence_connected_is_that_of_simple_itk_in_volumes():
    pixels = noisy_box((14, 24, 30), np.s_[3:11, 4:18, 6:25], 6)
    expected = SimpleITK.ConfidenceConnected(SimpleITK.GetImageFromArray(pixels), [(12, 9, 7)], 4, 2.5, 2, 1)
    method = ConfidenceConnected(seeds=((7, 9, 12),), multiplier=2.5, sigma=0)
    assert np.array_equal(labels_of(method, pixels), SimpleITK.GetArrayFromImage(expected))


@pytest.mark.parametrize(("pixels", "seed"), IMAGES, ids=["coins", "cell", "camera"])
@pytest.mark.parametrize("tolerance", [0, 7, 20.5])
def test_flood_fill_is_that_of_scikit_image(pixels, seed, tolerance):
    found = labels_of(FloodFill(seeds=(seed,), tolerance=tolerance, sigma=0), pixels)
    assert np.array_equal(found > 0, flood(pixels.astype(np.float64), seed, tolerance=tolerance, connectivity=1))


def test_flood_fill_in_a_volume_is_a_connected_threshold():
    pixels = noisy_box((10, 20, 24), np.s_[2:8, 3:15, 4:20], 8)
    seed = (5, 8, 10)
    level = float(pixels[seed])
    expected = SimpleITK.ConnectedThreshold(SimpleITK.GetImageFromArray(pixels), [seed[::-1]], level - 2, level + 2, 1)
    found = labels_of(FloodFill(seeds=(seed,), tolerance=2, sigma=0), pixels)
    assert np.array_equal(found, SimpleITK.GetArrayFromImage(expected))


def test_what_two_seeds_reach_is_divided_half_way():
    found = labels_of(FloodFill(seeds=((5, 2), (5, 17)), tolerance=1, sigma=0), np.zeros((11, 20)))
    assert (found[:, :10] == 1).all()
    assert (found[:, 10:] == 2).all()


def test_growth_stays_within_each_interval():
    values = np.array([[1, 1, 5, 5, 9, 9, 1]], np.float32)
    floods = Floods(values)
    places = floods.places(np.array([[0, 0], [0, 5]]))
    found = grow_between(floods, places, np.array([0.0, 5.0]), np.array([4.0, 9.0]))
    assert found.tolist() == [[1, 1, 2, 2, 2, 2, 0]]


@pytest.mark.parametrize("method", [FloodFill(), ConfidenceConnected(), RegionGrowing()], ids=lambda m: m.name)
def test_found_seeds_give_one_object_per_square(method):
    pixels = np.random.default_rng(0).normal(20, 4, (60, 90))
    for row, column, height in ((8, 8, 150), (35, 10, 200), (10, 55, 120), (32, 50, 180)):
        pixels[row : row + 18, column : column + 20] += height
    found = run(method, Image.from_array(pixels)).instances
    assert len(found) == 4
    assert ((np.asarray(found.labels) > 0) == (pixels > 60)).mean() > 0.9


@pytest.mark.parametrize("method", [FloodFill, ConfidenceConnected], ids=lambda m: m.name)
def test_dark_objects_are_grown_like_bright_ones(method):
    bright = labels_of(method(), data.coins())
    dark = labels_of(method(foreground="dark"), 255 - data.coins())
    assert (bright == dark).mean() > 0.99


@pytest.mark.parametrize("method", [FloodFill, ConfidenceConnected, RegionGrowing], ids=lambda m: m.name)
@pytest.mark.parametrize(
    ("seeds", "said"),
    [(((100, 1),), "outside"), (((-1, 2),), "outside"), (((1,),), "1 numbers"), (((1, 1), (1, 1)), "twice")],
)
def test_impossible_seeds_are_refused_in_one_line(method, seeds, said):
    with pytest.raises(ParameterError, match=said) as error:
        run(method(seeds=seeds), sample_image())
    assert "\n" not in str(error.value)


def test_the_first_box_follows_the_spacing_and_may_not_be_huge():
    with pytest.raises(ParameterError, match="at most 50"):
        run(ConfidenceConnected(radius=60), sample_image())
    seed = ((5, 20, 20),)
    image = sample_image("ZYX", spacing=True)
    wide, near = (run(ConfidenceConnected(seeds=seed, radius=r, iterations=0), image) for r in ("4 um", "1 um"))
    assert not np.array_equal(wide.instances.labels, near.instances.labels)
