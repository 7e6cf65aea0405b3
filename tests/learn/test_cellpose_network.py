"""Networks of Cellpose against what Cellpose itself computes, as tests/reference/make_cellpose.py has recorded it."""

import io
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from segmentry.errors import InputError, MissingExtraError
from segmentry.image import Image
from segmentry.learn.cellpose_network import CellposeNetwork, expected_weights, read_cellpose
from segmentry.learn.cellpose_scaling import cellpose_scores, cellpose_volume_scores, resized, taper
from segmentry.learn.onnx_graph import with_weights
from segmentry.learn.scaling import Scaling
from segmentry.overview import Overview

torch = pytest.importorskip("torch")
from segmentry.learn.networks.cellpose import Cellpose  # noqa: E402
from segmentry.learn.networks.export import graph_of  # noqa: E402

RECORDED = Path(__file__).parent.parent / "reference" / "cellpose.npz"
IMAGES = {
    "coins": (lambda: data.coins()[40:220, 20:220], None, 20.0),
    "cell": (lambda: data.cell()[300:396, 250:378], None, 30.0),
    "tissue": (lambda: data.immunohistochemistry()[100:212, 60:190], (2, 0), 40.0),
}
SMALL = CellposeNetwork(widths=(2, 3))


def filled(plan, seed=0):
    """Return weights by the formula that the recording was made with."""
    shapes, arrays = expected_weights(plan), {}
    for i, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        drawn = np.random.default_rng([seed, i]).random(shape)
        if name.endswith("num_batches_tracked"):
            arrays[name] = np.zeros(shape, np.int64)
        elif name.endswith(("running_var", ".0.weight")):
            arrays[name] = np.float32(0.5 + drawn)
        elif len(shape) == 1:
            arrays[name] = np.float32(0.4 * drawn - 0.2)
        else:
            arrays[name] = np.float32((3 / np.prod(shape[1:])) ** 0.5 * (2 * drawn - 1))
    return arrays


def saved(path, arrays, prefix="", old=False, **more):
    """Write a file as Cellpose does."""
    state = {prefix + name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    state |= {prefix + name: torch.full((1,), value) for name, value in more.items()}
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    return path


def built(plan, arrays):
    network = Cellpose(plan).eval()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})

    def scores(batch):
        with torch.inference_mode():
            return network(torch.from_numpy(batch)).numpy()

    return network, scores


def normalised(name):
    """Return (2, Y, X) scaled pixels of an image of the recording, its second channel 0 where none is chosen."""
    pixels, chosen, diameter = IMAGES[name]
    pixels = pixels()
    planes = pixels[None] if chosen is None else np.moveaxis(pixels, -1, 0)[list(chosen)]
    scaling = Scaling(low=1, high=99, interpolated=True, limit=1e6)
    scale = scaling.measured(Overview(Image.from_array(planes, axes="CYX")))
    found = np.zeros((2, *planes.shape[1:]), np.float32)
    found[: len(planes)] = scaling.applied(planes, scale)
    return found, diameter


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED) as file:
        return dict(file)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a network of the published size, read from a file."""
    path = saved(tmp_path_factory.mktemp("cellpose") / "cyto", filled(CellposeNetwork()), diam_mean=30.0)
    plan, arrays, *_ = read_cellpose(path)
    return plan, arrays, *built(plan, arrays)


@pytest.mark.parametrize("name", IMAGES)
def test_scores_are_those_of_cellpose(name, whole, recorded):
    pixels, _ = normalised(name)
    cut = np.ascontiguousarray(pixels[:, : pixels.shape[1] // 16 * 16, : pixels.shape[2] // 16 * 16])
    found = whole[3](cut[None])[0, :, ::2, ::2]
    assert np.abs(found - recorded[f"{name}/scores"]).max() < 1e-5 * np.abs(found).max()


def test_other_engines_give_the_scores_of_cellpose(whole, recorded):
    import onnxruntime

    plan, arrays, network, _ = whole
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = with_weights(graph_of(network, plan), arrays)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    pixels, _ = normalised("cell")
    for count in (1, 2):
        for found in session.run(None, {"image": np.stack([pixels] * count)})[0]:
            expected = recorded["cell/scores"]
            assert np.abs(found[:, ::2, ::2] - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", IMAGES)
def test_planes_are_resized_and_tiled_as_cellpose_does(name, whole, recorded):
    pixels, diameter = normalised(name)
    found = cellpose_scores(whole[3], pixels, 30 / diameter)[:, ::3, ::3]
    expected = np.concatenate((recorded[f"{name}/flows"], recorded[f"{name}/logits"][None]))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_volumes_are_seen_across_each_axis_as_cellpose_does(whole, recorded):
    pixels = recorded["stack/pixels"]
    low, high = np.percentile(pixels, (1, 99))
    volume = np.stack([np.float32((pixels - low) / (high - low)), np.zeros(pixels.shape, np.float32)])
    found = cellpose_volume_scores(whole[3], volume, 30 / 24, 2.0)
    expected = np.concatenate((recorded["stack/flows"], recorded["stack/logits"][None]))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_intensities_are_scaled_as_by_numpy():
    random = np.random.default_rng(0)
    sparse = np.zeros((30, 31), np.uint16)
    sparse[3, :4] = 900
    planes = np.stack([random.poisson(60, (30, 31)).astype(np.uint16), sparse, np.full((30, 31), 7, np.uint16)])
    scaling = Scaling(low=1, high=99, interpolated=True, limit=1e6)
    for kind in (np.uint16, np.float32):
        scale = scaling.measured(Overview(Image.from_array(planes.astype(kind), axes="CYX")))
        low, high = np.percentile(planes[0], (1, 99))
        found = scaling.applied(planes.astype(kind), scale)
        assert found[0] == pytest.approx((planes[0] - low) / (high - low), abs=1e-6 if kind is np.uint16 else 1e-3)
        if kind is np.uint16:
            assert not found[1:].any()


def test_maps_are_resized_to_any_length():
    maps = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    assert np.array_equal(resized(maps, (3, 4)), maps)
    assert resized(maps, (1, 1)).tolist() == [[[5.5]]]
    assert resized(maps[:, :1, :1], (2, 3)).tolist() == [[[0, 0, 0]] * 2]
    assert resized(maps, (6, 8))[0, 0, :4] == pytest.approx([0, 0.25, 0.75, 1.25])


def test_tiles_count_the_same_from_both_sides():
    for length in (16, 33, 224):
        assert taper(length) == pytest.approx(taper(length)[::-1], abs=0 if length % 2 == 0 else 0.1)
    assert taper(224)[20] == pytest.approx(0.5, abs=0.02)


def test_weights_are_expected_as_torch_makes_them():
    for plan in (CellposeNetwork(), SMALL, CellposeNetwork(channels=1, widths=(5,))):
        state = Cellpose(plan).state_dict()
        assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected_weights(plan)
        kinds = {name: tensor.dtype for name, tensor in state.items()}
        assert all((kinds[name] == torch.int64) == name.endswith("tracked") for name in kinds)


@pytest.mark.parametrize("widths", [(5,), (2, 3), (2, 3, 4)])
def test_scores_have_the_shape_of_the_plane(widths):
    plan = CellposeNetwork(channels=3, widths=widths)
    shape = tuple(m * n for m, n in zip(plan.multiple, (3, 2), strict=True))
    found = Cellpose(plan).eval()(torch.randn(2, 3, *shape))
    assert found.shape == (2, 3, *shape)


def test_every_weight_learns():
    torch.manual_seed(0)
    # A batch of its own would take away what is added to all of it.
    network = Cellpose(CellposeNetwork(widths=(8, 12))).eval()
    network(torch.randn(2, 2, 8, 8)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(("prefix", "old"), [("", False), ("module.", False), ("", True), ("module.", True)])
def test_a_network_is_read_as_it_was_written(prefix, old, tmp_path):
    arrays = filled(SMALL)
    path = saved(tmp_path / "mine", arrays, prefix, old, diam_mean=17.5, diam_labels=25.0)
    plan, found, diameter, of_labels = read_cellpose(path)
    assert (plan, diameter, of_labels) == (SMALL, 17.5, 25.0)
    assert list(found) == list(expected_weights(plan))
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_diameters_that_are_not_said_are_those_of_cellpose(tmp_path):
    arrays = filled(SMALL)
    assert read_cellpose(saved(tmp_path / "cytotorch_0", arrays))[2:] == (30.0, None)
    assert read_cellpose(saved(tmp_path / "nucleitorch_0", arrays, diam_mean=30.0))[2:] == (17.0, None)


def test_numbers_of_other_lengths_are_read(tmp_path):
    arrays = {name: array for name, array in filled(SMALL).items() if not name.endswith("tracked")}
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        torch.save({name: torch.nn.Parameter(tensor.to(kind)) for name, tensor in state.items()}, tmp_path / "one")
        found = read_cellpose(tmp_path / "one")[1]
        assert set(found) == set(expected_weights(SMALL))
        for name, tensor in state.items():
            assert np.array_equal(found[name], tensor.to(kind).float().numpy())


def changed(**said):
    """Return weights of which some are others; ``None``: missing."""
    arrays = filled(SMALL) | said
    return {name: array for name, array in arrays.items() if array is not None}


ODD = {
    "is missing": changed(**{"output.0.running_var": None}),
    "running_mean' is missing": changed(**{"downsample.down.res_down_0.conv.conv_1.0.running_mean": None}),
    "must be of shape": changed(**{"output.0.bias": np.zeros(3, np.float32)}),
    r"full.weight must be of shape \(3, 3\)": changed(
        **{"upsample.up.res_up_1.conv.conv_1.full.weight": np.zeros((6, 3), np.float32)}
    ),
    "int64 of shape": changed(**{"output.0.bias": np.zeros(2, np.int64)}),
    "names 'torch ComplexFloatStorage'": changed(**{"output.0.bias": np.zeros(2, np.complex64)}),
    "not one of the network's": changed(other=np.zeros(2, np.float32)),
    "not finite": changed(**{"output.0.weight": np.array([1, np.nan], np.float32)}),
    "negative": changed(**{"output.0.running_var": np.array([1, -1], np.float32)}),
    "gives 1 numbers per pixel": changed(**{"output.2.weight": np.zeros((1, 2, 1, 1), np.float32)}),
    "sees 3 axes": changed(**{"downsample.down.res_down_0.proj.1.weight": np.zeros((2, 2, 1, 1, 1), np.float32)}),
    "of 99 channels": changed(**{"downsample.down.res_down_0.proj.1.weight": np.zeros((2, 99, 1, 1), np.float32)}),
    "Cellpose 4": changed(W2=np.zeros(2, np.float32)),
    "transformers": changed(**{"encoder.conv1.weight": np.zeros(2, np.float32)}),
    "no residual blocks": changed(**{"downsample.down.conv_down_0.conv.conv_0.0.weight": np.zeros(2, np.float32)}),
    "holds no network of Cellpose 1, 2 or 3": {"weight": np.zeros(2, np.float32)},
    "no diameter": changed(diam_mean=np.array([-1], np.float32)),
    "diam_labels is no number": changed(diam_labels=np.ones(2, np.float32)),
}


@pytest.mark.parametrize("line", ODD)
def test_networks_of_other_forms_are_refused(line, tmp_path):
    path = saved(tmp_path / "odd", ODD[line])
    with pytest.raises(InputError, match=line) as told:
        read_cellpose(path)
    assert "odd can't be used as a network of Cellpose" in str(told.value)
    assert "\n" not in str(told.value)


class Harm:
    def __reduce__(self):
        return (warnings.warn, ("code was run",))


def test_code_in_a_file_is_not_run(tmp_path):
    arrays = {name: torch.from_numpy(np.array(array)) for name, array in filled(SMALL).items()}
    path = tmp_path / "harm"
    for harm in (Harm(), bytearray(2**20), np.zeros(3), {1, 2}):
        for new in (True, False):
            torch.save(arrays | {"more": harm}, path, _use_new_zipfile_serialization=new)
            with pytest.raises(InputError, match=r"it names|no array|holds something else"):
                read_cellpose(path)
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(InputError):
        read_cellpose(path)


def test_the_extra_is_named_where_torch_is_missing(monkeypatch, tmp_path):
    path = saved(tmp_path / "one", filled(SMALL))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"segmentry\[train\]"):
        read_cellpose(path)


def test_files_that_are_no_networks_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_cellpose(tmp_path / "none")
    with pytest.raises(InputError, match="is a folder"):
        read_cellpose(tmp_path)
    path = tmp_path / "one"
    for content in (b"", b"PK\x03\x04", b"no network", b"\x80\x02" + bytes(99), bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(InputError, match="can't be used as a network of Cellpose"):
            read_cellpose(path)
    for thing in ({}, [torch.zeros(3)], torch.zeros(3), {"a": 3}, {3: torch.zeros(3)}):
        torch.save(thing, path)
        with pytest.raises(InputError, match="can't be used as a network of Cellpose"):
            read_cellpose(path)


def test_small_files_of_large_arrays_are_refused(tmp_path):
    path = tmp_path / "one"
    torch.save({"output.0.weight": torch.zeros(1).expand(2**34)}, path)
    with pytest.raises(InputError, match="larger than the file"):
        read_cellpose(path)
    stored = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(array)) for name, array in filled(SMALL).items()}, stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.namelist():
            target.writestr(part, source.read(part))
    with pytest.raises(InputError, match="compressed"):
        read_cellpose(path)


def test_archives_that_are_whole_but_say_odd_things_are_refused(tmp_path):
    parts = {}
    with zipfile.ZipFile(saved(tmp_path / "whole", filled(SMALL), diam_mean=30.0)) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    told = next(name for name in parts if name.endswith("data.pkl"))
    random = np.random.default_rng(1)
    for at in random.integers(0, len(parts[told]), 60):
        odd = bytearray(parts[told])
        odd[at] = random.integers(256)
        with zipfile.ZipFile(tmp_path / "odd", "w") as target:
            for name, content in parts.items():
                target.writestr(name, odd if name == told else content)
        refused_or_whole(tmp_path / "odd")


def refused_or_whole(path):
    """Return whether a file is refused in a line; if not, see that it is a whole network of numbers."""
    try:
        plan, arrays, diameter, _ = read_cellpose(path)
    except InputError as error:
        assert "\n" not in str(error)
        return True
    assert {name: array.shape for name, array in arrays.items()} == expected_weights(plan)
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert 0 < diameter < 1e6
    return False


@pytest.mark.parametrize("old", [False, True])
def test_damaged_files_are_refused(old, tmp_path):
    """Whatever is cut off or changed; what the older form can't tell, at least is a whole network of numbers."""
    path = saved(tmp_path / "whole", filled(SMALL), old=old, diam_mean=30.0)
    content = path.read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "damaged"
    for cut in random.integers(0, len(content), 30):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError):
            read_cellpose(path)
    refused = 0
    for at in (*range(0, 1000, 31), *random.integers(0, len(content), 60)):
        changed = bytearray(content)
        changed[at] ^= 1 << int(random.integers(8))
        path.write_bytes(changed)
        refused += refused_or_whole(path)
    assert refused > 10
