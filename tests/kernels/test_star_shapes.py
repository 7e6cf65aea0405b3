import numpy as np
import pytest
from scipy.special import eval_chebyt, eval_legendre

from segmentry.kernels.star_shapes import DEGREES, Bodies, Ownership, fill, majority, paint

ONE = np.ones(3)
#: The axes of a body along y, x and z.
FLAT = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
NOTHING = (np.zeros((0, 5)), np.zeros(2, np.int64))
SMOOTH = (np.zeros((1, 1, 1), np.float32), np.zeros((1, 3), np.int64))


def body(centre, axes, lobes=None, bend=0.0, frame=None):
    axes = np.array(axes, float)
    flat = len(centre) == 2
    lobes = np.zeros((1, len(DEGREES), 4)) if lobes is None else lobes[None]
    if frame is None:
        frame = FLAT if flat else np.eye(3)
    radius = (axes[0] * axes[1]) ** 0.5 if flat else np.prod(axes) ** (1 / 3)
    return Bodies(
        np.array([[0.0, *centre][-3:]]), frame[None], axes[None], np.array([bend]), lobes, np.array([float(radius)])
    )


def painted(bodies, shape, steps=ONE):
    owned = Ownership.empty(shape)
    for number, one in enumerate(bodies):
        paint(one, number + 1, np.asarray(steps, float), owned)
    return owned


def points(shape, centre, steps=ONE):
    return [(axis + 0.5) * s - c for axis, c, s in zip(np.indices(shape), centre, steps, strict=True)]


def test_an_ellipsoid_covers_the_pixels_in_it_on_any_grid():
    centre, steps, shape = (12.3, 13.1, 14.7), (2.0, 1.0, 0.5), (12, 28, 60)
    owned = painted([body(centre, (9, 5, 7))], shape, steps)
    z, y, x = points(shape, centre, steps)
    wanted = (z / 9) ** 2 + (y / 5) ** 2 + (x / 7) ** 2 < 1
    assert np.array_equal(owned.labels > 0, wanted)


@pytest.mark.parametrize("flat", [True, False])
def test_harmonics_are_those_of_scipy(flat):
    rng = np.random.default_rng(0)
    lobes = np.zeros((len(DEGREES), 4))
    lobes[:, 0] = rng.normal(0, 0.05, len(DEGREES))
    lobes[:, 1:] = rng.normal(size=(len(DEGREES), 3))
    if flat:
        lobes[:, 3] = 0
    lobes[:, 1:] /= np.linalg.norm(lobes[:, 1:], axis=1, keepdims=True)
    shape = (1, 60, 60) if flat else (40, 40, 40)
    centre = (30.2, 29.9) if flat else (20.1, 19.7, 20.4)
    owned = painted([body(centre, (14, 14, 14), lobes)], shape)
    z, y, x = points(shape, (0.5 if flat else centre[0], *centre[-2:]))
    u, v, w = (y, x, z) if flat else (z, y, x)
    far = np.sqrt(u**2 + v**2 + w**2)
    value = eval_chebyt if flat else eval_legendre
    radius = 14 * (
        1 + sum(h * value(n, (u * a + v * b + w * c) / far) for n, (h, a, b, c) in zip(DEGREES, lobes, strict=True))
    )
    assert np.array_equal(owned.labels > 0, far < radius)


def test_bodies_that_overlap_are_parted_by_the_plane_of_their_powers():
    first, second = (20.0, 18.0), (20.0, 33.0)
    owned = painted([body(first, (11, 11, 1)), body(second, (7, 7, 1))], (1, 40, 50))
    _, y, x = points((1, 40, 50), (0.5, 0, 0))
    power = [(y - c[0]) ** 2 + (x - c[1]) ** 2 - r**2 for c, r in ((first, 11), (second, 7))]
    wanted = np.where(np.minimum(*power) < 0, np.argmin(power, axis=0) + 1, 0)
    assert np.array_equal(owned.labels, wanted)


def test_the_order_of_bodies_does_not_matter_but_for_their_numbers():
    bodies = [body((15.0, c), (9, 6, 1), bend=0.2) for c in (10.0, 19.0, 27.0)]
    one, other = painted(bodies, (1, 30, 40)), painted(bodies[::-1], (1, 30, 40))
    turned = np.where(other.labels > 0, 4 - other.labels, 0)
    assert np.array_equal(one.labels, turned)


def test_a_bent_body_has_its_ends_on_one_side():
    frame = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    labels = painted([body((20.0, 25.0), (20, 5, 1), bend=0.4, frame=frame)], (1, 40, 50)).labels[0]
    y, x = np.nonzero(labels)
    ends, middle = y[np.abs(x - 25) > 14].mean(), y[np.abs(x - 25) < 5].mean()
    assert ends - middle > 3


def test_stain_is_flat_or_as_thick_as_a_ball_and_spots_are_added_to_it():
    centre = (15.0, 15.0)
    one = body(centre, (10, 10, 1))
    owned = painted([one], (1, 30, 30))
    out = np.zeros((3, 1, 30, 30), np.float32)
    fill(one, np.array([1]), ONE, owned, np.array([[2.0, 0, 0, 0]]), NOTHING, SMOOTH, out[0])
    fill(one, np.array([0]), ONE, owned, np.array([[2.0, 1, 0, 0]]), NOTHING, SMOOTH, out[1])
    spot = (np.array([[0, 15.5, 15.5, 3.0, 1.0]]), np.array([0, 1]))
    fill(one, np.array([1]), ONE, owned, np.array([[2.0, 0, 0, 0]]), spot, SMOOTH, out[2])
    inside = owned.labels > 0
    assert (out[0][inside] == 2).all()
    assert (out[:, ~inside] == 0).all()
    _, y, x = points((1, 30, 30), (0.5, *centre))
    thick = 2 * np.sqrt(np.clip(1 - (y**2 + x**2) / 100, 0, None))
    assert np.allclose(out[1], thick, atol=1e-5)
    assert out[2, 0, 15, 15] == pytest.approx(4)


def test_the_majority_of_a_block_is_its_commonest_label():
    labels = np.random.default_rng(1).integers(0, 4, (2, 12, 9)).astype(np.uint32)
    found = majority(labels, 3)
    for z, y, x in np.ndindex(2, 4, 3):
        block = labels[z, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3]
        assert np.bincount(block.ravel())[found[z, y, x]] == np.bincount(block.ravel()).max()
