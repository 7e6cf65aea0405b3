import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate
from skimage import data
from skimage.feature import canny

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import smooth
from segmentry.gradients import slopes, steepness
from segmentry.image import Image
from segmentry.kernels.edges import thin_edges
from segmentry.methods.canny import Canny
from segmentry.methods.log_edges import LogEdges
from segmentry.run import run


def ball(shape, middle, radius, spacing=None):
    """Return a disc or ball of height 1 whose edge is one pixel wide."""
    step = np.array(spacing or (1.0,) * len(shape)).reshape(-1, *(1,) * len(shape))
    place = np.indices(shape) * step - np.array(middle).reshape(step.shape)
    return np.clip(radius - np.sqrt((place**2).sum(axis=0)) + 0.5, 0, 1)


def noisy(pixels, noise=2.0):
    return pixels + np.random.default_rng(0).normal(20, noise, pixels.shape)


@pytest.mark.parametrize("pixels", [data.coins(), data.camera()], ids=["coins", "camera"])
@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_thin_edges_are_those_of_scikit_image(pixels, sigma):
    slope = slopes(smooth(pixels.astype(np.float32), (sigma, sigma)), (1, 1))
    steep = steepness(slope)
    low = float(np.quantile(steep, 0.85))
    found = thin_edges(slope, steep, (1, 1), low) > 0
    # scikit-image's slopes are eight times ours, and it leaves out a rim of one pixel; without a high level both agree.
    expected = canny(pixels.astype(np.float32), sigma, 8 * low, 8 * low)
    inner = np.zeros_like(found)
    inner[2:-2, 2:-2] = True
    assert (found & expected & inner).sum() >= 0.98 * (found & inner).sum()
    assert (found & expected & inner).sum() >= 0.98 * (expected & inner).sum()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 1.0, 1.0)])
def test_edges_in_a_volume_lie_on_the_surface(spacing):
    middle = (20.0, 20.0, 20.0)
    shape = tuple(round(40 / s) for s in spacing)
    pixels = gaussian_filter(ball(shape, middle, 12, spacing), [1.5 / s for s in spacing]).astype(np.float32)
    slope = slopes(pixels, spacing)
    edges = thin_edges(slope, steepness(slope), spacing, 0.05)
    far = np.sqrt((((np.argwhere(edges) * spacing) - middle) ** 2).sum(axis=1))
    assert len(far) > 500
    assert np.abs(far - 12).max() < 1.2 * max(spacing)
    assert abs(far.mean() - 12) < 0.5


def test_an_edge_that_is_turned_stays_where_it_is():
    step = np.zeros((121, 121))
    step[:, 61:] = 1
    for angle in (0, 20, 45, 70):
        pixels = gaussian_filter(rotate(step, angle, reshape=False, mode="nearest", order=1), 2).astype(np.float32)
        slope = slopes(pixels, (1, 1))
        at = np.argwhere(thin_edges(slope, steepness(slope), (1, 1), 0.1)[30:-30, 30:-30]) - 30
        turned = np.deg2rad(angle)
        across = at[:, 1] * np.cos(turned) - at[:, 0] * np.sin(turned)
        assert abs(across.mean() - 0.5) < 0.5
        assert np.abs(across - across.mean()).max() < 1


@pytest.mark.parametrize("method", [Canny(), LogEdges()], ids=lambda m: m.name)
def test_the_coins_are_found_under_uneven_light(method):
    found = run(method, Image.from_array(data.coins())).instances
    sizes = np.bincount(np.asarray(found.labels).ravel())[1:]
    assert (sizes > 800).sum() == 24


@pytest.mark.parametrize("method", [Canny, LogEdges], ids=lambda m: m.name)
@pytest.mark.parametrize(("shape", "spacing"), [((90, 90), None), ((18, 40, 40), (2.0, 1.0, 1.0))])
def test_a_ball_is_found_with_its_size(method, shape, spacing):
    middle = [n * s / 2 for n, s in zip(shape, spacing or (1.0,) * len(shape), strict=True)]
    truth = ball(shape, middle, 11, spacing)
    found = run(method(sigma=1.2), Image.from_array(noisy(100 * truth), spacing=spacing)).instances
    assert len(found) == 1
    assert (np.asarray(found.labels) > 0).sum() == pytest.approx((truth > 0.5).sum(), rel=0.12)


@pytest.mark.parametrize("method", [Canny, LogEdges], ids=lambda m: m.name)
def test_dark_objects_are_found_when_said(method):
    bright = run(method(), Image.from_array(data.coins())).instances
    dark = run(method(foreground="dark"), Image.from_array(255 - data.coins())).instances
    assert ((np.asarray(bright.labels) > 0) == (np.asarray(dark.labels) > 0)).mean() > 0.99


def test_a_gap_in_a_contour_is_bridged_up_to_its_width():
    pixels = np.zeros((80, 80))
    pixels[20:60, 20:60] = 100
    # The edge fades out over a few pixels of one side.
    ramp = np.clip(np.abs(np.arange(80) - 40) / 2 - 2, 0, 1)
    pixels[60:70] = pixels[59] * (1 - ramp) * np.linspace(1, 0, 10)[:, None]
    image = Image.from_array(pixels)
    closed, opened = (np.asarray(run(Canny(sigma=1, gap=g), image).result.classes) for g in (12, 0))
    assert closed[22:58, 22:58].all()
    assert not opened[30:50, 30:50].any()


def test_what_an_object_encloses_is_filled_unless_said_otherwise():
    pixels = noisy(100 * (ball((90, 90), (45, 45), 30) - ball((90, 90), (45, 45), 14)))
    image = Image.from_array(pixels)
    filled, open_ = (np.asarray(run(Canny(fill=fill), image).result.classes) for fill in (True, False))
    assert filled[45, 45] == 1
    assert open_[45, 45] == 0
    assert open_[45, 45 + 22] == filled[45, 45 + 22] == 1


@pytest.mark.parametrize("method", [Canny(strength=0.5), LogEdges()], ids=lambda m: m.name)
def test_faint_and_bright_objects_are_found_alike(method):
    pixels = 200 * ball((80, 160), (40, 40), 15) + 70 * ball((80, 160), (40, 115), 15)
    assert len(run(method, Image.from_array(noisy(pixels))).instances) == 2


def test_noise_has_no_outline_that_counts():
    pixels = 100 * ball((120, 120), (30, 30), 12)
    found = run(LogEdges(sigma=1.5), Image.from_array(noisy(pixels, noise=6.0))).instances
    assert len(found) == 1


def test_a_large_flat_object_is_whole():
    pixels = 100 * ball((160, 160), (80, 80), 60)
    found = run(LogEdges(), Image.from_array(noisy(pixels, noise=1.0))).instances
    assert len(found) == 1
    assert (np.asarray(found.labels) > 0).sum() == pytest.approx(np.pi * 60**2, rel=0.05)


def test_a_scale_of_nothing_is_refused():
    with pytest.raises(ParameterError, match=r"log_edges\.sigma"):
        run(LogEdges(sigma=0), Image.from_array(data.coins()))
