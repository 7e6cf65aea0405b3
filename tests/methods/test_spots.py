import numpy as np
import pytest
from scipy.ndimage import gaussian_laplace
from skimage.feature import blob_dog, blob_log

from segmentry.errors import ParameterError
from segmentry.image import Image
from segmentry.kernels.balls import paint_balls
from segmentry.laplacian import laplacian_of_gaussian
from segmentry.methods.dog_spots import DogSpots
from segmentry.methods.log_spots import LogSpots
from segmentry.run import run

METHODS = pytest.mark.parametrize("method", [LogSpots, DogSpots], ids=lambda m: m.name)


def balls(shape, number, radii, spacing=None, noise=2.0, profile="ball"):
    """Return noisy discs, balls or bell curves that don't touch, with their middles (in pixels) and radii."""
    rng = np.random.default_rng(5)
    step = np.array(spacing or (1.0,) * len(shape))
    place = np.indices(shape) * step.reshape(-1, *(1,) * len(shape))
    pixels = rng.normal(10, noise, shape)
    middles, found = [], []
    while len(middles) < number:
        radius = rng.uniform(*radii)
        middle = rng.uniform(0.12, 0.88, len(shape)) * shape * step
        if all(np.linalg.norm(middle - m) > 2 * (radius + r) + 3 for m, r in zip(middles, found, strict=True)):
            squared = ((place - middle.reshape(-1, *(1,) * len(shape))) ** 2).sum(axis=0)
            edge = np.clip((radius - np.sqrt(squared)) / step.max() + 0.5, 0, 1)
            pixels += rng.uniform(60, 120) * (edge if profile == "ball" else np.exp(-squared / radius**2))
            middles.append(middle)
            found.append(radius)
    return pixels.astype(np.float32), np.array(middles) / step, np.array(found)


def measured(result):
    """Return the middle of each object in pixels, and its size."""
    labels = np.asarray(result.instances.labels)
    middles = [np.argwhere(labels == i).mean(axis=0) for i in result.instances.ids]
    return np.array(middles), np.array([(labels == i).sum() for i in result.instances.ids])


def nearest(one, other):
    far = np.linalg.norm(one[:, None] - other, axis=2)
    return far.min(axis=1), far.argmin(axis=1)


@METHODS
@pytest.mark.parametrize(
    ("shape", "spacing", "radii"),
    [((220, 220), None, (2.5, 8)), ((40, 60, 60), None, (3, 6)), ((24, 60, 60), (2.0, 1.0, 1.0), (4, 7))],
)
def test_each_ball_is_found_at_its_place_with_its_size(method, shape, spacing, radii):
    pixels, middles, radius = balls(shape, 6, radii, spacing)
    unit = "" if spacing is None else " um"
    found = run(method(min_radius=f"2.5{unit}", max_radius=f"10{unit}"), Image.from_array(pixels, spacing=spacing))
    places, sizes = measured(found)
    assert len(places) == 6
    far, which = nearest(middles, places)
    assert far.max() <= 1
    ndim = len(shape)
    volume = sizes[which] * np.prod(spacing or 1.0)
    measure = (volume / {2: np.pi, 3: 4 / 3 * np.pi}[ndim]) ** (1 / ndim)
    assert measure == pytest.approx(radius, rel=0.12)


@pytest.mark.parametrize("shape", [(220, 220), (40, 60, 60)])
@pytest.mark.parametrize("profile", ["ball", "bell"])
def test_spots_of_the_laplacian_are_those_of_scikit_image(shape, profile):
    pixels, _, _ = balls(shape, 6, (2.5, 7), profile=profile)
    root = np.sqrt(len(shape))
    method = LogSpots(min_radius=1.5, max_radius=12, n_scales=10, min_signal=0, min_contrast=0.2)
    places, sizes = measured(run(method, Image.from_array(pixels)))
    level = 0.2 * np.ptp(pixels) * {2: 0.7358, 3: 0.9251}[len(shape)]
    theirs = blob_log(pixels, 1.5 / root, 12 / root, 10, level, log_scale=True)
    assert len(theirs) == len(places) == 6
    far, which = nearest(places, theirs[:, :-1])
    assert far.max() <= 1
    measure = (sizes / {2: np.pi, 3: 4 / 3 * np.pi}[len(shape)]) ** (1 / len(shape))
    # Ours lie between the scales, which are a factor of 1.26 apart.
    assert measure == pytest.approx(theirs[which, -1] * root, rel=0.15)


def test_spots_of_differences_are_where_scikit_image_finds_them():
    pixels, _, _ = balls((220, 220), 8, (2.5, 7))
    root = np.sqrt(2)
    theirs = blob_dog(pixels, 1.5 / root, 12 / root, threshold=0.2 * np.ptp(pixels) * 0.6)
    method = DogSpots(min_radius=1.5, max_radius=1.5 * 1.6**5, n_scales=6, min_contrast=0.2)
    places, _ = measured(run(method, Image.from_array(pixels)))
    assert len(theirs) == len(places) == 8
    assert nearest(places, theirs[:, :2])[0].max() <= 1.5


@pytest.mark.parametrize("sigma", [1.5, 4.0])
def test_the_laplacian_is_that_of_scipy(sigma):
    pixels = np.random.default_rng(0).random((50, 60)).astype(np.float32)
    expected = gaussian_laplace(pixels, sigma) * sigma**2
    # scipy's sampled curve does not add up to nothing; ours gives 0 where the image is flat.
    assert np.abs(laplacian_of_gaussian(pixels, (sigma, sigma)) - expected).max() < 0.02 * np.ptp(expected)
    assert np.abs(laplacian_of_gaussian(np.full((30, 30), 5000, np.float32), (sigma, sigma))).max() < 1e-2


@METHODS
def test_noise_is_no_spot(method):
    pixels = np.random.default_rng(3).normal(100, 10, (250, 250)).astype(np.float32)
    assert len(run(method(), Image.from_array(pixels)).instances) <= 2


@METHODS
def test_of_two_spots_that_cover_each_other_the_stronger_stays(method):
    place = np.indices((60, 80))
    pixels = sum(
        h * np.exp(-((place[0] - 30) ** 2 + (place[1] - x) ** 2) / 18)
        for x, h in ((30, 200.0), (36, 90.0), (60, 150.0))
    )
    strict, loose = (run(method(overlap=o, max_radius=5), Image.from_array(pixels)).instances for o in (0.0, 1.0))
    assert len(strict) == 2
    assert len(loose) >= len(strict)
    labels = np.asarray(strict.labels)
    assert labels[30, 30]
    assert labels[30, 60]
    scores = dict(zip(strict.ids.tolist(), strict.scores.tolist(), strict=True))
    assert scores[int(labels[30, 30])] > scores[int(labels[30, 60])]


@METHODS
def test_half_the_height_draws_a_smaller_outline_of_a_bell_curve(method):
    pixels, _, _ = balls((120, 120), 3, (4, 6), profile="bell")
    whole, half = (run(method(extent=e, max_radius=9), Image.from_array(pixels)) for e in ("ball", "half"))
    one, other = np.asarray(whole.instances.labels), np.asarray(half.instances.labels)
    assert len(whole.instances) == len(half.instances) == 3
    assert not other[one == 0].any()
    assert 0.3 < (other > 0).sum() / (one > 0).sum() < 0.9


@METHODS
def test_impossible_radii_are_refused(method):
    image = Image.from_array(np.zeros((30, 30)))
    with pytest.raises(ParameterError, match="exceeds"):
        run(method(min_radius=9, max_radius=3), image)
    with pytest.raises(ParameterError, match="radii from 0"):
        run(method(min_radius=0), image)


def test_where_balls_overlap_a_pixel_belongs_to_the_relatively_nearer():
    shape, spacing = (20, 30), (2.0, 1.0)
    centres, radii = np.array([[10, 8], [10, 18]]), np.array([8.0, 6.0])
    place = np.indices(shape).reshape(2, -1).T
    far = np.linalg.norm((place[:, None] - centres) * spacing, axis=2) / radii
    expected = np.where(far.min(axis=1) <= 1, far.argmin(axis=1) + 1, 0).reshape(shape)
    assert np.array_equal(paint_balls(centres, radii, shape, spacing), expected)
