import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.feature import hessian_matrix, hessian_matrix_eigvals
from skimage.segmentation import watershed

from segmentry import segment
from segmentry.carving import Carver
from segmentry.errors import InputError, ParameterError, UnknownNameError
from segmentry.image import Image
from segmentry.length import Length
from segmentry.methods.carving import Carving
from segmentry.supervoxels import Supervoxels, boundary_levels


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def cells(shape=(40, 72, 72), bright=True, seed=0):
    """Cells parted by membranes of uneven brightness, in noise, and which is which."""
    rng = np.random.default_rng(seed)
    place = np.indices(shape).reshape(len(shape), -1).T
    centres = rng.uniform(0, 1, (14, len(shape))) * (np.array(shape) - 1)
    distances = np.sqrt(((place[:, None] - centres) ** 2).sum(axis=2))
    nearest = np.sort(distances, axis=1)[:, :2]
    membrane = np.exp(-(((nearest[:, 1] - nearest[:, 0]) / 3) ** 2)).reshape(shape)
    light = 60 + 50 * gaussian_filter(rng.standard_normal(shape), 10) * 30
    pixels = 50 + np.clip(light, 35, 140) * membrane + rng.normal(0, 6, shape)
    return (pixels if bright else 255 - pixels).astype(np.float32), distances.argmin(axis=1).reshape(shape), centres


def inside(cell, centres):
    return np.rint(centres[cell]).astype(int)[None]


@pytest.mark.parametrize("bright", [True, False])
def test_a_cell_is_carved_out_of_a_volume_with_a_few_strokes(bright):
    pixels, truth, centres = cells(bright=bright)
    carver = Carver(pixels, boundaries="bright" if bright else "dark")
    for cell in (3, 5, 8):
        carver.stroke(inside(cell, centres))
        around = np.array([np.rint(c) for k, c in enumerate(centres) if k != cell], int)
        carver.stroke(around, "background")
        assert iou(carver.mask, truth == cell) > 0.85
        carver.clear()


def test_a_coin_needs_one_stroke_inside_and_one_outside():
    coin = Carver(data.coins(), sigma=1)
    coin.stroke([(45, 44), (45, 48), (45, 52)])
    coin.stroke([(80, 20), (82, 50), (10, 20), (45, 80)], "background")
    area = coin.mask.sum()
    assert coin.mask[42:65, 32:56].all()
    assert 1250 < area < 1450
    assert coin.object().scores[0] > 0.3


def test_divides_like_a_watershed_of_scikit_image_on_pixels():
    image = Image.from_array(data.coins()[:150, :200])
    strokes = [(1, 45, 48), (2, 45, 108), (3, 45, 168), (0, 10, 10), (0, 85, 100), (0, 80, 10)]
    found = np.asarray(Carving(seeds=strokes, background_bias=1, sigma=1).segment(image).labels[...])
    markers = np.zeros(found.shape, int)
    for number, row, column in strokes:
        markers[row, column] = number + 1
    theirs = watershed(boundary_levels(image, Length(1), "step"), markers) - 1
    assert np.mean((found > 0) == (theirs > 0)) > 0.97


@pytest.mark.parametrize("shape", [(60, 70), (14, 30, 32)])
def test_lines_are_as_high_as_the_eigenvalue_of_scikit_image(shape):
    pixels = gaussian_filter(np.random.default_rng(0).random(shape), 1).astype(np.float32)
    image = Image.from_array(pixels)
    ours = boundary_levels(image, Length(2), "dark").astype(float)
    theirs = hessian_matrix_eigvals(hessian_matrix(pixels, sigma=2, mode="reflect", use_gaussian_derivatives=True))[0]
    inner = tuple(slice(4, -4) for _ in shape)
    high = inner, theirs[inner] > 0
    assert np.corrcoef(ours[high[0]][high[1]], theirs[high[0]][high[1]])[0, 1] > 0.99


def test_every_stroke_gives_what_all_strokes_at_once_give():
    pixels, _, _ = cells((50, 60), seed=2)
    carver = Carver(pixels, boundaries="bright")
    rng = np.random.default_rng(0)
    strokes, masks = [], []
    for number in range(8):
        points = rng.integers(0, 50, (3, 2))
        strokes.append((points, ("object", "background")[number % 2]))
        carver.stroke(*strokes[-1])
        masks.append(carver.mask.copy())
        if number:
            step = Carving(
                seeds=[(int(kind == "object"), *map(int, p)) for s, kind in strokes for p in s], boundaries="bright"
            )
            labels = np.asarray(step.segment(Image.from_array(pixels)).labels[...])
            assert np.array_equal(labels > 0, masks[-1])
    for mask in masks[-2::-1]:
        carver.undo()
        assert np.array_equal(carver.mask, mask)
    carver.undo()
    assert not carver.mask.any()


def test_objects_that_are_kept_are_not_entered_and_can_be_reopened():
    pixels, _, centres = cells((60, 80), seed=1)
    carver = Carver(pixels, boundaries="bright")
    everything = np.rint(centres).astype(int)
    for name, cell in (("left", 2), ("right", 7)):
        carver.stroke(everything[cell])
        carver.stroke(np.delete(everything, cell, axis=0), "background") if name == "left" else None
        carver.stroke([(0, 0), (59, 79)], "background")
        carver.keep(name)
    kept = carver.objects()
    assert carver.names == ("left", "right")
    assert kept.ids.tolist() == [1, 2]
    assert ((kept.scores >= 0) & (kept.scores <= 1)).all()
    assert not carver.mask.any()
    with pytest.raises(InputError, match="'left', which is kept"):
        carver.stroke(everything[2])
    carver.reopen("left")
    assert np.array_equal(carver.mask, np.asarray(kept.labels[...]) == 1)
    assert carver.names == ("right",)


def test_is_surest_between_high_boundaries():
    pixels = np.zeros((30, 90), np.float32)
    pixels[:, 30:60], pixels[:, 60:] = 100, 120
    carver = Carver(pixels + np.random.default_rng(0).normal(0, 1, pixels.shape), sigma=1)
    carver.stroke([(15, 45)])
    carver.stroke([(15, 5), (15, 85)], "background")
    assert iou(carver.mask, (pixels == 100)) > 0.95
    sure = carver.sureness()
    assert sure[15, 15] > 0.85
    assert sure.min() >= 0
    assert sure[15, 75] < sure[15, 15]
    assert carver.object().scores[0] == pytest.approx(sure[carver.mask].mean(), rel=1e-4)


def test_a_bias_makes_the_object_smaller():
    pixels, _, centres = cells((60, 80), seed=3)
    sizes = []
    for bias in (1, 0.8, 0.3):
        carver = Carver(pixels, boundaries="bright", background_bias=bias)
        carver.stroke(np.rint(centres[:3]).astype(int))
        carver.stroke(np.rint(centres[3:6]).astype(int), "background")
        sizes.append(int(carver.mask.sum()))
    assert sizes[0] >= sizes[1] >= sizes[2]
    assert sizes[0] > sizes[2]


def test_a_stroke_is_positions_or_a_picture_of_it():
    pixels = data.coins()[:80, :100]
    one, two = Carver(pixels), Carver(pixels)
    drawn = np.zeros(pixels.shape, np.uint8)
    drawn[45, 44:53] = 3
    one.stroke(drawn)
    two.stroke(np.argwhere(drawn))
    assert one.mask.any()
    assert np.array_equal(one.mask, two.mask)
    with pytest.raises(ValueError, match="read-only"):
        one.mask[0] = True


def test_every_pixel_is_of_a_supervoxel_with_a_minimum_in_it():
    image = Image.from_array(data.coins()[:90, :110])
    found = Supervoxels.of(image, Length(1.6), "step")
    assert np.array_equal(np.unique(found.ids), np.arange(1, len(found) + 1))
    assert found.sizes.sum() == image.grid.size


def test_finds_coins_without_strokes():
    labels = segment(data.coins(), "carving").instances
    sizes = np.bincount(np.asarray(labels.labels[...]).ravel())[1:]
    assert 15 < (sizes > 500).sum() < 40


def test_says_what_is_wrong():
    image = Image.from_array(data.coins()[:40, :50])
    with pytest.raises(ParameterError, match="two objects are needed, or one and the background"):
        Carving(seeds=[(1, 3, 3)]).segment(image)
    with pytest.raises(ParameterError, match="outside the image"):
        Carving(seeds=[(1, 3, 3), (0, 99, 3)]).segment(image)
    with pytest.raises(ParameterError, match="objects count from 1"):
        Carving(seeds=[(-1, 3, 3), (0, 9, 3)]).segment(image)
    carver = Carver(image)
    for wrong, said in (([], "marks no pixel"), ([(3, 50)], "leaves the image"), ([(0.5, 1)], "neither whole")):
        with pytest.raises(InputError, match=said):
            carver.stroke(wrong)
    with pytest.raises(InputError, match="no stroke to take back"):
        carver.undo()
    with pytest.raises(InputError, match="no object to keep"):
        carver.keep("a")
    with pytest.raises(UnknownNameError, match="no object 'b'"):
        carver.reopen("b")
    with pytest.raises(ParameterError, match="background_bias"):
        Carver(image, background_bias=0)
    with pytest.raises(InputError, match="not finite"):
        Carver(np.full((4, 4), np.nan))
