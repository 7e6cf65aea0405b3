import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from segmentry.errors import InputError, ParameterError
from segmentry.learn.augmentation import Augmentation, movement, moving, rotations

torch = pytest.importorskip("torch")
augmented = pytest.importorskip("segmentry.learn.networks.augmentation").augmented

none = Augmentation.none
INTENSITIES = ["noise", "blur", "brightness", "contrast", "resolution", "gamma", "inverted_gamma"]
CASES = [((31, 24), (1.0, 1.0)), ((24, 20), (0.5, 1.5)), ((9, 12, 14), (2.0, 1.0, 1.0)), ((5, 16, 13), (4.0, 1.0, 1.0))]


def chance(seed=0):
    return np.random.default_rng(seed)


def everything(**values):
    """Return what always does all it can."""
    sure = dict.fromkeys((name for name in Augmentation.model_fields if name.endswith("probability")), 1.0)
    return Augmentation(**{**sure, **values})


def spatial(**values):
    return none(rotation_probability=1, scale_probability=1, elastic_probability=1, **values)


def example(shape, channels=1, seed=0):
    rng = chance(seed)
    return rng.normal(size=(channels, *shape)).astype(np.float32), rng.integers(0, 9, shape)


def middle(array, shape):
    return array[
        (..., *(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(array.shape[-len(shape) :], shape, strict=True)))
    ]


def window(augmentation, patch, spacing):
    """Return how large a crop the widest of many movements needs."""
    drawn = (movement(augmentation, patch, spacing, chance(seed)) for seed in range(60))
    return tuple(np.max([move.window for move in drawn], axis=0).tolist())


def coins(size):
    return middle(data.coins().astype(np.float32) / 255, size)[None]


@pytest.mark.parametrize(("patch", "spacing"), CASES)
@pytest.mark.parametrize("more", [0, 1, 4, 7])
def test_without_chance_the_middle_comes_back_bit_for_bit(patch, spacing, more):
    image, labels = example([n + more for n in patch], 2)
    kept = image.copy()
    image.flags.writeable = labels.flags.writeable = False
    assert window(none(), patch, spacing) == patch
    found, marks = augmented(image, labels, patch, spacing, none(), chance())
    assert found.dtype == torch.float32
    assert marks.dtype == torch.int64
    assert np.array_equal(found, middle(image, patch))
    assert np.array_equal(marks, middle(labels, patch))
    found += 1
    assert np.array_equal(image, kept)


@pytest.mark.parametrize("turns", [-1, 1, 2])
@pytest.mark.parametrize("size", [(40, 40), (41, 41)])
def test_a_quarter_turn_is_that_of_numpy(turns, size):
    image = coins(size)
    labels = (image[0] * 255).astype(np.int64)
    found, marks = augmented(image, labels, size, None, none(rotation_probability=1, angle=(turns * 90,) * 2), chance())
    np.testing.assert_allclose(found, np.rot90(image, turns, (1, 2)), atol=1e-4)
    assert np.array_equal(marks, np.rot90(labels, turns))


def test_volumes_turn_about_each_axis():
    image = example((9, 9, 9))[0][0]
    for axis, (first, second) in enumerate([(1, 2), (0, 2), (0, 1)]):
        degrees = np.zeros((1, 3))
        degrees[0, axis] = 90
        found = ndimage.affine_transform(image, rotations(degrees)[0], 4 - rotations(degrees)[0] @ (4, 4, 4), order=1)
        np.testing.assert_allclose(found, np.rot90(image, 1, (first, second)), atol=1e-4)
    drawn = rotations(chance().uniform(-180, 180, (50, 3)))
    np.testing.assert_allclose(drawn @ drawn.swapaxes(1, 2), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(drawn), 1)


@pytest.mark.parametrize(("patch", "spacing"), CASES)
def test_sampling_is_that_of_scipy(patch, spacing):
    size = tuple(n + 6 for n in patch)
    image, labels = example(size, 2)
    move = movement(spatial(), patch, spacing, chance(1))
    found, marks = augmented(image, labels, patch, spacing, spatial(), chance(), move)
    axes = moving(spacing)
    centre = np.array([(n - 1) / 2 for n in patch[-axes:]]).reshape(-1, *(1,) * axes)
    places = np.tensordot(move.matrix, np.indices(patch[-axes:]) - centre, 1) + centre + 3 + move.bent
    if len(patch) > axes:
        planes = np.arange(3, 3 + patch[0]).reshape(-1, 1, 1) * np.ones(patch)
        places = np.stack([planes, *(np.broadcast_to(p, patch) for p in places)])
    for channel in range(2):
        expected = ndimage.map_coordinates(image[channel], places, order=1, mode="mirror")
        np.testing.assert_allclose(found[channel], expected, atol=2e-4)
    nearest = ndimage.map_coordinates(labels, places, order=0, mode="nearest")
    inside = np.logical_and.reduce([(p >= -0.5) & (p < n - 0.5) for p, n in zip(places, size, strict=True)])
    assert np.mean(marks.numpy() == np.where(inside, nearest, -1)) > 0.999


@pytest.mark.parametrize(("patch", "spacing"), CASES)
@pytest.mark.parametrize("axis", [0, -1])
def test_labels_move_with_the_image(patch, spacing, axis):
    augmentation = spatial(flip_probability=0.5)
    for seed in range(5):
        size = window(augmentation, patch, spacing)
        labels = np.indices(size)[axis]
        image = labels[None].astype(np.float32)
        found, marks = augmented(image, labels, patch, spacing, augmentation, chance(seed))
        assert (found[0] - marks).abs().max() < 0.501
        assert len(marks.unique()) > 3


@pytest.mark.parametrize(("patch", "spacing"), CASES)
@pytest.mark.parametrize("augmentation", [Augmentation.microscopy(), everything(), everything(elastic=(0.4, 0.4))])
def test_a_window_holds_all_that_is_needed(patch, spacing, augmentation):
    for seed in range(40):
        move = movement(augmentation, patch, spacing, chance(seed))
        assert all(n >= m and (n - m) % 2 == 0 for n, m in zip(move.window, patch, strict=True))
        labels = np.zeros(move.window, int)
        _, marks = augmented(np.zeros((1, *labels.shape)), labels, patch, spacing, augmentation, chance(seed), move)
        assert (marks == 0).all()


def test_a_window_is_no_larger_than_needed():
    def size(patch, **values):
        return window(none(**values), patch, (1,) * len(patch))

    assert size((101, 101), rotation_probability=1, angle=(45, 45)) == (143, 143)
    assert size((101, 11), rotation_probability=1, angle=(90, 90)) == (101, 101)
    assert size((101, 51), scale_probability=1, scale=(0.5, 0.5)) == (201, 101)
    assert size((101, 51), scale_probability=1, scale=(2, 2)) == (101, 51)
    bent = size((51, 51), elastic_probability=1, elastic=(0, 0.25), elastic_distance=20)
    assert all(55 <= n <= 61 for n in bent)  # points move by 5 pixels at most
    assert window(spatial(), (5, 51, 51), (4, 1, 1))[0] == 5
    labels = np.zeros((139, 139), int)
    turn = none(rotation_probability=1, angle=(45, 45))
    assert (augmented(labels[None], labels, (101, 101), None, turn, chance())[1] == -1).sum() > 0


def test_reading_what_was_drawn_gives_the_same_patch():
    patch = (24, 24)
    full = coins(window(everything(), patch, None))
    labels = (full[0] * 255).astype(int)
    for seed in range(5):
        augmentation = Augmentation.microscopy() if seed else everything()
        first, second = chance(seed), chance(seed)
        whole = augmented(full, labels, patch, None, augmentation, first)
        move = movement(augmentation, patch, None, second)
        part = middle(full, move.window), middle(labels, move.window)
        found = augmented(*part, patch, None, augmentation, second, move)
        np.testing.assert_allclose(found[0], whole[0], atol=1e-4)
        assert (found[1] == whole[1]).float().mean() > 0.99
        again = augmented(full, labels, patch, None, augmentation, chance(seed))
        assert torch.equal(again[0], whole[0])
        assert torch.equal(again[1], whole[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_beyond_the_window_nothing_is_labelled_and_the_image_is_reflected(channels):
    for size, patch, spacing in (((6, 9), (10, 15), None), ((2, 7, 6), (7, 7, 9), (5, 1, 1)), ((1, 4), (3, 4), None)):
        image, labels = example(size, channels)
        around = [((m - n + 1) // 2, (m - n) // 2) for n, m in zip(size, patch, strict=True)]
        found, marks = augmented(image, labels, patch, spacing, none(), chance())
        assert np.array_equal(found, np.pad(image, [(0, 0), *around], mode="reflect"))
        assert np.array_equal(marks, np.pad(labels, around, constant_values=-1))
    half = none(scale_probability=1, scale=(0.5, 0.5))
    found, marks = augmented(np.ones((1, 20, 20)), np.ones((20, 20)), (20, 20), None, half, chance())
    assert (found == 1).all()
    assert (marks[5:15, 5:15] == 1).all()
    assert (marks == 1).sum() == 100
    assert (marks == -1).sum() == 300


@pytest.mark.parametrize("scale", [0.8, 1.5])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 1.0), (1.0, 1.0, 1.0), (2.5, 1.0, 1.0)])
def test_a_ball_stays_a_ball(spacing, scale):
    patch = tuple(int(32 / s) | 1 for s in spacing)
    augmentation = none(rotation_probability=1, scale_probability=1, scale=(scale, scale), tilt=(-180, 180))
    size = window(augmentation, patch, spacing)
    steps = np.array(spacing).reshape(-1, *(1,) * len(size))
    there = (np.indices(size) - (np.array(size) - 1).reshape(steps.shape) / 2) * steps
    ball = ((there**2).sum(0) <= 9**2).astype(int)
    for seed in range(3):
        found, marks = augmented(ball[None], ball, patch, spacing, augmentation, chance(seed))
        points = np.argwhere(marks.numpy() == 1) * spacing
        spread = np.sqrt(np.linalg.eigvalsh(np.cov(points.T)))
        assert spread == pytest.approx(9 * scale / np.sqrt(len(size) + 2), rel=0.05)
        assert len(points) == pytest.approx(ball.sum() * scale ** len(size), rel=0.08)
        assert found.sum().item() == pytest.approx(ball.sum() * scale ** len(size), rel=0.08)


def test_coarse_planes_are_not_mixed():
    patch, spacing = (5, 16, 16), (4.0, 1.0, 1.0)
    augmentation = spatial(blur_probability=1, resolution_probability=1, resolution=(0.5, 0.5))
    size = window(augmentation, patch, spacing)
    labels = np.broadcast_to(np.arange(5).reshape(5, 1, 1), size)
    found, marks = augmented(labels[None], labels, patch, spacing, augmentation, chance())
    np.testing.assert_allclose(found[0], middle(labels, patch), atol=1e-5)
    assert np.array_equal(marks, middle(labels, patch))


@pytest.mark.parametrize(("patch", "spacing"), [*CASES, ((64, 64), (1.0, 1.0)), ((24, 24, 24), (1.0, 1.0, 1.0))])
def test_bending_never_folds_and_moves_no_further_than_said(patch, spacing):
    distance, axes = 8, moving(spacing)
    steps = np.array(spacing[-axes:])
    augmentation = none(elastic_probability=1, elastic=(0.4, 0.4), elastic_distance=distance)
    for seed in range(10):
        bent = movement(augmentation, patch, spacing, chance(seed)).bent
        physical = bent * steps.reshape(-1, *(1,) * axes)
        assert np.abs(physical).max() <= 0.4 * distance * steps.min()
        assert np.abs(physical).max() > 0.1 * distance * steps.min()
        gradient = np.stack([np.stack(np.gradient(b)) for b in bent])
        jacobian = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(axes)
        assert np.linalg.det(jacobian).min() > 0


def test_mirrors_are_those_allowed():
    image, labels = example((4, 5, 6))
    for axes in (("X",), ("Y", "Z"), ()):
        augmentation = none(flip_probability=1, flip_axes=axes)
        found, marks = augmented(image, labels, labels.shape, None, augmentation, chance())
        where = ["ZYX".index(axis) for axis in axes]
        assert np.array_equal(marks, np.flip(labels, where))
        assert np.array_equal(found[0], np.flip(image[0], where))
    plane, marks = image[:, 0], labels[0]
    found = augmented(plane, marks, (5, 6), None, none(flip_probability=1, flip_axes=("Y",)), chance())
    assert np.array_equal(found[1], marks[::-1])
    seen = [augmented(plane, marks, (5, 6), None, none(flip_probability=0.5), chance(i))[1] for i in range(60)]
    assert len({tuple(s.numpy().ravel()) for s in seen}) == 4


def test_large_ids_survive():
    labels = chance().permutation(2**31 - np.arange(1600)).reshape(40, 40)
    for size, patch, spacing in (((40, 40), (20, 20), None), ((4, 20, 20), (4, 10, 10), (1, 1, 1))):
        ids = labels.reshape(size)
        found = augmented(np.zeros((1, *size)), ids, patch, spacing, spatial(), chance())[1].numpy()
        assert set(np.unique(found)) <= {*ids.ravel(), -1}
        assert (found > 0).mean() > 0.3
        unsigned = augmented(np.zeros((1, *size)), ids.astype(np.uint32), patch, spacing, spatial(), chance())[1]
        assert np.array_equal(unsigned, found)


def vary(image, name, values=None, spacing=None, seed=0):
    """Return intensities after one kind of change, which must leave the labels alone."""
    limits = {} if values is None else {name.removeprefix("inverted_"): values}
    labels = chance(9).integers(0, 99, image.shape[1:])
    augmentation = none(**{f"{name}_probability": 1}, **limits)
    found, marks = augmented(image, labels, labels.shape, spacing, augmentation, chance(seed))
    assert np.array_equal(marks, labels)
    return found.numpy()


@pytest.mark.parametrize("name", INTENSITIES)
@pytest.mark.parametrize("shape", [(40, 50), (7, 20, 24)])
def test_changes_of_intensity_know_no_unit(name, shape):
    image = np.concatenate(
        [ndimage.gaussian_filter(example(shape, seed=i)[0], (0, 1, 1, 1)[: len(shape) + 1]) for i in (0, 1)]
    )
    once = vary(image, name)
    assert np.abs(once - image).max() > 0.01
    np.testing.assert_allclose(vary(image * 500 - 80, name), once * 500 - 80, atol=0.02, rtol=1e-4)
    constant = np.full((1, *shape), -3, np.float32)
    np.testing.assert_allclose(vary(constant, name), constant, rtol=1e-6)
    assert not np.array_equal(vary(image, name, seed=1), once)


def test_noise_brightness_and_contrast_change_as_much_as_they_say():
    image = np.concatenate([coins((200, 200)), 3 - 7 * coins((200, 200))])
    mean, sd = image.mean((1, 2)), image.std((1, 2))
    noise = vary(image, "noise", (0.2, 0.2)) - image
    assert noise.std((1, 2)) / sd == pytest.approx(0.2, rel=0.02)
    assert noise.mean((1, 2)) / sd == pytest.approx(0, abs=0.01)
    shift = vary(image, "brightness", (-0.5, -0.5)) - image
    np.testing.assert_allclose(shift, np.broadcast_to(-0.5 * sd[:, None, None], image.shape), rtol=1e-3)
    found = vary(image, "contrast", (1.4, 1.4))
    np.testing.assert_allclose(found, (image - mean[:, None, None]) * 1.4 + mean[:, None, None], atol=1e-4)
    shifts = (vary(image, "brightness", (-1, 1)) - image).mean((1, 2)) / sd
    assert abs(shifts[0] - shifts[1]) > 0.01


@pytest.mark.parametrize("exponent", [0.6, 1.8])
def test_gamma_bends_intensities_between_the_least_and_the_greatest(exponent):
    image = 5 * coins((60, 60)) - 2
    low, high = image.min(), image.max()
    share = (image - low) / (high - low)
    found = vary(image, "gamma", (exponent, exponent))
    np.testing.assert_allclose(found, share**exponent * (high - low) + low, atol=1e-4)
    found = vary(image, "inverted_gamma", (exponent, exponent))
    np.testing.assert_allclose(found, high - (1 - share) ** exponent * (high - low), atol=1e-4)


@pytest.mark.parametrize(
    ("spacing", "sigmas"), [((1, 1, 1), (1, 1, 1)), ((2, 1, 1), (0.5, 1, 1)), ((4, 1, 1), (0, 1, 1))]
)
def test_blur_is_that_of_scipy(spacing, sigmas):
    image = example((9, 20, 21))[0]
    expected = ndimage.gaussian_filter(image[0], sigmas, mode="mirror", truncate=3)
    np.testing.assert_allclose(vary(image, "blur", (1, 1), spacing)[0], expected, atol=1e-5)


def test_coarser_pixels_lose_detail_and_stay_in_place():
    rows, columns = np.indices((60, 60))
    blob = np.exp(-((rows - 25) ** 2 + (columns - 32) ** 2) / 50)[None].astype(np.float32)
    found = vary(blob, "resolution", (0.5, 0.5))
    assert ndimage.center_of_mass(found[0]) == pytest.approx((25, 32), abs=0.01)
    noise = example((60, 60))[0]
    coarse = vary(noise, "resolution", (0.5, 0.5))
    assert coarse.std() < 0.5 * noise.std()
    blocks = noise.reshape(30, 2, 30, 2).mean((1, 3))
    np.testing.assert_allclose(coarse[0, 1::2, 1::2][:-1, :-1], linear(blocks), atol=1e-5)
    assert np.array_equal(vary(noise, "resolution", (1, 1)), noise)
    volume = example((8, 16, 16))[0]
    apart = vary(volume, "resolution", (0.5, 0.5), (2, 1, 1))
    planes = [vary(plane[None], "resolution", (0.5, 0.5))[0] for plane in volume[0]]
    np.testing.assert_allclose(apart[0], planes, atol=1e-6)


def linear(blocks):
    """Return what lies a quarter of the way from each block to its neighbours below and to the right."""
    down = 0.75 * blocks[:-1] + 0.25 * blocks[1:]
    return 0.75 * down[:, :-1] + 0.25 * down[:, 1:]


@pytest.mark.parametrize("patch", [(1, 1), (1, 7), (1, 5, 6), (3, 1, 1)])
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_the_smallest_patches_work(patch, value):
    for spacing in (None, (5,) * (len(patch) - 2) + (1, 1)):
        image = np.full((2, *patch), value, np.float32)
        found, marks = augmented(image, np.ones(patch, int), patch, spacing, everything(), chance())
        assert found.shape == image.shape
        assert marks.shape == patch
        np.testing.assert_allclose(found, value, atol=1e-5)


def test_settings_and_arrays_that_do_not_fit_are_refused():
    for wrong in (
        {"scale": (2, 1)},
        {"elastic": (0, 0.5)},
        {"flip_probability": 1.5},
        {"flip_axes": ("T",)},
        {"tilted": 1},
    ):
        with pytest.raises(ParameterError, match="augmentation"):
            Augmentation(**wrong)
    image, labels = example((8, 8))
    for given in ((image[0], labels, (4, 4)), (image, labels[1:], (4, 4)), (image, labels, (4, 4, 4))):
        with pytest.raises(InputError, match="don't fit"):
            augmented(*given, None, none(), chance())
    with pytest.raises(InputError, match="don't fit"):
        augmented(image, labels, (4, 4), (1, 1, 1), none(), chance())
    both = Augmentation.microscopy(gamma=(1, 1)), Augmentation()
    assert both[0].scale == (0.6, 1.6)
    for augmentation in both:
        assert Augmentation.model_validate_json(augmentation.model_dump_json()) == augmentation
    assert all(field.description for field in Augmentation.model_fields.values())
