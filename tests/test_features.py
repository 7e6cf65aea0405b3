from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentry.errors import InputError, ParameterError
from segmentry.features import DEFAULT_FEATURES, FEATURES, Feature, FeatureBank
from segmentry.image import Grid, Image
from segmentry.io import read
from segmentry.tiling import cores, grow, inside, window_grid

REFERENCE = Path(__file__).parent / "reference" / "features.npz"
ILASTIK = Path(__file__).parents[1].parent / "shared" / "data" / "ilastik"
CASES = {
    "plane": ("discs", (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0), (1.0, 1.0)),
    "stretched plane": ("discs", (0.7, 1.6, 3.5), (1.0, 3.0)),
    "volume": ("balls", (0.7, 1.0, 1.6, 3.5), (1.0, 1.0, 1.0)),
    "stretched volume": ("balls", (0.7, 1.6, 3.5), (2.5, 1.0, 1.0)),
}


def all_at(*sigmas):
    return tuple(Feature(name, sigma) for sigma in sigmas for name in FEATURES)


def grid_of(pixels, spacing=None):
    return Grid("CZYX"[-pixels.ndim :], pixels.shape, spacing, "um" if spacing else None)


def noise(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_vigra_called_as_ilastik_calls_it(case):
    name, sigmas, step = CASES[case]
    with np.load(REFERENCE) as recorded:
        pixels, expected = recorded[name].astype(np.float32), recorded[case]
    grid = grid_of(pixels, tuple(0.4 * s for s in step))
    found = FeatureBank(all_at(*sigmas), spacing_aware=True).compute(pixels, grid)
    kept = np.ix_(*([0, 1, n // 2, n - 2, n - 1] for n in pixels.shape))
    for plane, values in zip(found, expected, strict=True):
        # VIGRA solves for three eigenvalues in single precision.
        digits = 1e-6 if pixels.ndim == 2 else 1e-5
        assert np.abs(plane[kept] - values).max() < digits * max(np.ptp(pixels), np.ptp(plane))


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        ("PixelClass.ilp", "res-Data_1channel_pc1xyc.npy"),
        ("2464_PixelClassification_xy_input.ilp", "res-Data_1channel_pc1xy.npy"),
    ],
)
def test_the_forests_of_ilastik_find_in_them_what_they_find_in_ilastik(project, expected):
    if not ILASTIK.exists():
        pytest.skip("the shared data sets are not here")
    pixels = read(ILASTIK / "Data_1channel.png").read().astype(np.float32)
    with h5py.File(ILASTIK / project) as file:
        chosen = file["FeatureSelections/SelectionMatrix"][()]
        sigmas = file["FeatureSelections/Scales"][()]
        names = list(FEATURES)
        bank = FeatureBank(tuple(Feature(names[i], float(sigmas[j])) for i, j in np.argwhere(chosen)))
        values = bank.compute(pixels, grid_of(pixels)).reshape(bank.n_planes(grid_of(pixels)), -1)
        forests = file["PixelClassification/ClassifierForests"]
        trees = [forests[f][t] for f in forests if f.startswith("Forest") for t in forests[f] if t.startswith("Tree")]
        found = np.mean([leaves(t["topology"][()], t["parameters"][()], values) for t in trees], axis=0)
    truth = np.load(ILASTIK / expected)
    assert np.abs(found.reshape(truth.shape) - truth).mean() < 2e-5
    assert (found.reshape(truth.shape).argmax(-1) == truth.argmax(-1)).mean() > 0.9995


def leaves(topology, parameters, values):
    """Return the probabilities in the leaf of VIGRA's tree that each pixel comes to."""
    found = np.empty((values.shape[1], topology[1]))
    waiting = [(2, np.arange(values.shape[1]))]
    while waiting:
        node, pixels = waiting.pop()
        first = topology[node + 1] + 1
        if topology[node] & 0x40000000:
            found[pixels] = parameters[first : first + topology[1]]
        else:
            left = values[topology[node + 4], pixels] < parameters[first]
            waiting += [(topology[node + 2], pixels[left]), (topology[node + 3], pixels[~left])]
    return found


@settings(max_examples=25)
@given(
    st.sampled_from(["YX", "ZYX", "planes", "spacing"]),
    st.lists(st.integers(1, 40), min_size=3, max_size=3),
    st.lists(st.integers(1, 25), min_size=3, max_size=3),
    st.data(),
)
def test_a_tile_has_the_bits_of_the_whole(kind, shape, tile, data):
    width = data.draw(st.sampled_from([shape[2], 255, 256, 257, 300]))
    shape, tile = (*shape[:2], width), (*tile[:2], data.draw(st.integers(30, 300)))
    shape, tile = (shape[1:], tile[1:]) if kind == "YX" else (shape, tile)
    pixels = noise(*shape)
    grid = grid_of(pixels, (2.0, 1.0, 1.5) if kind == "spacing" else None)
    bank = FeatureBank(all_at(0.3, 0.7, 1.2, 2.0), planes=kind == "planes", spacing_aware=kind == "spacing")
    whole = bank.compute(pixels, grid)
    assert np.isfinite(whole).all()
    for core in cores(shape, tile):
        window = grow(core, bank.halo(grid), shape)
        part = bank.compute(pixels[window], window_grid(grid, window), inside(core, window))
        assert np.array_equal(part, whole[(slice(None), *core)])


@pytest.mark.parametrize(("shape", "planes"), [((90, 70), False), ((5, 40, 30), False), ((5, 40, 30), True)])
def test_strips_hold_the_bits_of_the_whole_and_are_small(shape, planes):
    pixels = noise(2, *shape)
    grid = Grid("CZYX" if len(shape) == 3 else "CYX", pixels.shape)
    bank = FeatureBank(all_at(1.0, 2.0), planes=planes)
    whole, count = bank.compute(pixels, grid), np.zeros(shape, int)
    region = tuple(slice(1, n - 2) for n in shape)
    for place, values in bank.strips(pixels, grid, region, values=20_000):
        assert np.array_equal(values, whole[(slice(None), *place)])
        assert values.size < 200_000
        count[place] += 1
    assert (count[region] == 1).all()
    assert count.sum() == count[region].size


@pytest.mark.parametrize("shape", [(3, 200, 310), (2, 30, 50, 40)])
def test_single_pixels_have_the_bits_of_the_whole(shape):
    pixels = noise(*shape)
    image = Image(pixels, Grid("CZYX" if len(shape) == 4 else "CYX", shape))
    points = np.random.default_rng(1).integers(0, shape[1:], (60, len(shape) - 1))
    bank = FeatureBank(all_at(0.7, 3.5))
    whole = bank.compute(pixels, image.grid)
    assert np.array_equal(bank.at(image, points), whole[(slice(None), *points.T)].T)
    assert bank.at(image, []).shape == (0, bank.n_planes(image.grid))


def test_features_of_a_mirrored_image_are_mirrored():
    pixels, bank = noise(23, 31), FeatureBank(all_at(0.7, 1.6, 3.5))
    found = bank.compute(pixels, grid_of(pixels))
    assert np.array_equal(bank.compute(pixels[::-1, ::-1], grid_of(pixels)), found[:, ::-1, ::-1])


def test_the_planes_of_a_volume_can_be_looked_at_alone():
    volume = noise(4, 20, 25)
    found = FeatureBank(all_at(1.6), planes=True).compute(volume, grid_of(volume))
    for z, plane in enumerate(volume):
        assert np.array_equal(found[:, z], FeatureBank(all_at(1.6)).compute(plane, grid_of(plane)))
    assert FeatureBank(planes=True).halo(grid_of(volume))[0] == 0
    single = FeatureBank(all_at(1.6)).compute(volume[:1], grid_of(volume[:1]))
    assert np.array_equal(single[:, 0], found[:, 0])


def test_channels_are_looked_at_one_by_one_and_named():
    pixels = noise(2, 20, 25)
    grid = Grid("CYX", pixels.shape)
    bank = FeatureBank((Feature("laplacian_of_gaussian", 1.0), Feature("hessian_of_gaussian_eigenvalues", 2.5)))
    names = bank.names(grid, ["DAPI", "GFP"])
    assert names[:3] == [
        "DAPI: laplacian_of_gaussian 1.0",
        "GFP: laplacian_of_gaussian 1.0",
        "DAPI: hessian_of_gaussian_eigenvalues 2.5 largest",
    ]
    found = bank.compute(pixels, grid)
    assert len(found) == len(names) == bank.n_planes(grid) == 6
    for c in range(2):
        alone = bank.compute(pixels[c], grid_of(pixels[c]))
        assert np.array_equal(found[[c, 2 + 2 * c, 3 + 2 * c]], alone)


def test_the_default_is_all_that_ilastik_offers():
    grid = Grid("YX", (20, 30))
    assert len(DEFAULT_FEATURES) == 37
    assert FeatureBank().n_planes(grid) == len(FeatureBank().names(grid)) == 49
    assert FeatureBank().n_planes(Grid("ZYX", (5, 6, 7))) == 61
    assert FeatureBank().halo(grid) == (38, 38)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (1, 1, 1), (3, 1, 2)])
def test_a_constant_image_of_any_size_has_no_structure(shape):
    pixels = np.full(shape, 7, np.uint16)
    found = dict(zip(FeatureBank().names(grid_of(pixels)), FeatureBank().compute(pixels, grid_of(pixels)), strict=True))
    for name, plane in found.items():
        assert np.allclose(plane, 7 if name.startswith("gaussian_smoothing") else 0, atol=1e-5)


def test_what_does_not_fit_is_refused():
    pixels = noise(30, 40)
    grid, bank = grid_of(pixels), FeatureBank(all_at(1.0))
    with pytest.raises(ParameterError, match="did you mean 'gaussian_smoothing'"):
        Feature("gausian_smoothing", 1.0)
    with pytest.raises(ParameterError, match="above 0"):
        Feature("gaussian_smoothing", 0.0)
    with pytest.raises(ParameterError, match="once"):
        FeatureBank(all_at(1.0, 1.0))
    with pytest.raises(InputError, match="pixels are"):
        bank.compute(pixels[1:], grid)
    with pytest.raises(InputError, match="written to"):
        bank.compute(pixels, grid, out=np.empty((8, 30, 41), np.float32))
    with pytest.raises(InputError, match="in the image"):
        bank.at(Image.from_array(pixels), [[30, 2]])
    for window, region in ((slice(5, 30), slice(6, 20)), (slice(0, 25), slice(0, 19))):
        part = (window, slice(0, 40))
        with pytest.raises(InputError, match="7 pixels around it"):
            bank.compute(pixels[part], window_grid(grid, part), (region, slice(0, 40)))
