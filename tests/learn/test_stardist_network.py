import io
import json
import shutil
import subprocess
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from segmentry.errors import InputError
from segmentry.learn.networks.build import build
from segmentry.learn.networks.export import arrays_of, graph_of
from segmentry.learn.onnx_graph import with_weights
from segmentry.learn.stardist_network import StarDistNetwork, convolutions, expected_weights
from segmentry.learn.stardist_reading import read_stardist

FOLDER = Path(__file__).parents[1] / "reference"
SMALL = {"filters": 8, "features": 16}
CUBE = (3, 3, 3)
#: The networks of make_stardist.py, in our words, and the lengths of their images.
PLANS = {
    "plain": ((24, 16), StarDistNetwork(channels=1, rays=32, grid=(1, 1), kernel=(3, 3), **SMALL)),
    "classes": (
        (32, 48),
        StarDistNetwork(channels=2, rays=16, grid=(2, 2), kernel=(3, 3), classes=3, batch_norm=True, **SMALL),
    ),
    "odd": (
        (16, 64),
        StarDistNetwork(
            **{"channels": 1, "rays": 8, "grid": (2, 4), "kernel": (5, 3), "depth": 2, "pool": (1, 2), "filters": 5},
            **{"expansion": 1.5, "convolutions": 3, "features": 0, "classes": 1},
            **{"activation": "elu", "last_activation": "linear"},
        ),
    ),
    "volume_unet": (
        (4, 16, 24),
        StarDistNetwork(channels=1, rays=32, grid=(1, 2, 2), kernel=CUBE, depth=2, pool=(1, 2, 2), **SMALL),
    ),
    "volume_resnet": (
        (5, 8, 12),
        StarDistNetwork(
            **{"channels": 1, "rays": 24, "grid": (1, 2, 2), "kernel": CUBE, "depth": 4, "filters": 4},
            **{"convolutions": 3, "backbone": "resnet"},
        ),
    ),
    "volume_normed": (
        (4, 12, 16),
        StarDistNetwork(
            **{"channels": 2, "rays": 24, "grid": (2, 4, 4), "kernel": CUBE, "depth": 3, "filters": 4, "classes": 2},
            **{"convolutions": 2, "batch_norm": True, "backbone": "resnet"},
        ),
    ),
}
PARTS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


@pytest.fixture(scope="module")
def recorded():
    with np.load(FOLDER / "stardist.npz") as file:
        return dict(file)


def drawn(key, shape):
    """Return what make_stardist.py takes for an array of a layer of Keras."""
    numbers = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    part = key.rpartition("/")[2]
    if part == "kernel":
        return numbers * np.sqrt(2 / np.prod(shape[:-1]))
    return {"gamma": 1 + numbers / 10, "moving_variance": np.exp(numbers / 5)}.get(part, numbers / 10)


def filled(plan):
    """Return a network with the weights of make_stardist.py."""
    counts, state = {}, {}
    for one in convolutions(plan):
        for part, shape in one.shapes.items():
            kind, _, word = part.partition(".")
            if not shape:
                state[f"{one.name}.{part}"] = torch.zeros((), dtype=torch.int64)
                continue
            layer = one.theirs if kind == "convolution" else ""
            if not layer:
                sort = f"conv{plan.dimensions}d" if kind == "convolution" else "batch_normalization"
                own = counts.setdefault(sort, {})
                layer = f"{sort}.{own.setdefault(one.name, len(own))}"
            word = {"weight": "kernel"}.get(word, word) if kind == "convolution" else PARTS[word]
            theirs = (*shape[2:], shape[1], shape[0]) if word == "kernel" else shape
            numbers = drawn(f"{layer}/{word}", theirs)
            numbers = np.moveaxis(numbers, (-1, -2), (0, 1)) if word == "kernel" else numbers
            state[f"{one.name}.{part}"] = torch.from_numpy(np.array(numbers, np.float32))
    module = build(plan)
    module.load_state_dict(state)
    return module.eval()


def told(module, image):
    """Return what a network tells of an image (*spatial, channels)."""
    with torch.inference_mode():
        return module(torch.from_numpy(np.moveaxis(image, -1, 0)[None].copy()))[0].numpy()


def by_onnx_runtime(module, image):
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = with_weights(graph_of(module, module.plan), arrays_of(module))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": np.moveaxis(image, -1, 0)[None].copy()})[0][0]


@pytest.mark.parametrize("name", PLANS)
def test_networks_tell_what_stardist_tells(name, recorded):
    shape, plan = PLANS[name]
    image = np.random.default_rng(zlib.crc32(name.encode())).random((*shape, plan.channels)).astype(np.float32)
    module, theirs = filled(plan), recorded[f"{name}.outputs"]
    found = told(module, image)
    assert found.shape == (plan.outputs, *(n // g for n, g in zip(shape, plan.grid, strict=True)))
    # The same numbers are added in another order; the scores of these networks go up to 16.
    np.testing.assert_allclose(found, theirs, rtol=1e-5, atol=1e-5)
    if name in ("odd", "volume_normed"):  # as graphs take long to make
        np.testing.assert_allclose(by_onnx_runtime(module, image), theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PLANS)
def test_the_weights_of_a_network_are_known_without_building_it(name):
    plan = PLANS[name][1]
    found = {name: tuple(weight.shape) for name, weight in build(plan).state_dict().items()}
    assert found == expected_weights(plan)
    assert StarDistNetwork.model_validate_json(plan.model_dump_json()) == plan


def folder_of(name, target):
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as archive:
        archive.extractall(target)
    return target


@pytest.mark.parametrize(("name", "file"), [("plane", "stardist2d"), ("volume", "stardist3d")])
def test_a_trained_model_tells_the_same_from_its_folder_and_its_zip_file(name, file, recorded, tmp_path):
    theirs = recorded[f"{name}.outputs"]
    for place in (FOLDER / f"{file}.zip", folder_of(file, tmp_path / "model")):
        model = read_stardist(place)
        module = build(model.plan, seed=1).eval()
        module.load_state_dict({key: torch.from_numpy(np.array(array)) for key, array in model.arrays.items()})
        lengths = [n // m * m for n, m in zip(recorded[f"{name}.image"].shape, model.plan.multiple, strict=True)]
        image = (recorded[f"{name}.image"] / np.float32(255))[tuple(slice(n) for n in lengths)][..., None]
        np.testing.assert_allclose(told(module, image), theirs, rtol=1e-5, atol=2e-5)
        assert 0 < model.probability < 1
        assert 0 < model.overlap < 1
        assert model.names == ("background", "object")
    assert model.anisotropy == ((1, 1) if name == "plane" else (2, 1, 1))
    said = json.loads((tmp_path / "model" / "thresholds.json").read_text())
    assert (model.probability, model.overlap) == (said["prob"], said["nms"])


def regrouped(source, target, form):
    """Write weights as other versions of Keras do."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        root = new.create_group("model_weights") if form == "whole" else new
        if form == "whole":
            new.create_group("optimizer_weights").create_dataset("Adam/dist/kernel/m:0", data=np.zeros(3, "f4"))
        root.attrs["layer_names"] = [name.encode() for name in old]
        for name in old:
            kind, _, number = name.rpartition("_")
            again = name if name != "conv2d" and kind != "conv2d" else f"conv2d_{12 + int(number or -1)}"
            group = root.create_group(again)
            for part in old[name].get(name, {}):
                inner = f"{again}/{part}:0" if form == "keras2" else f"model_1/{again}/{part}:0"
                group.create_dataset(inner, data=old[name][name][part], compression="gzip")


def test_weights_are_read_from_files_of_all_versions_of_keras(tmp_path):
    folder = folder_of("stardist2d", tmp_path / "model")
    best, last = folder / "weights_best.h5", folder / "weights_last.weights.h5"
    expected = read_stardist(folder).arrays
    for form in ("keras2", "whole"):
        again = shutil.copytree(folder, tmp_path / form)
        regrouped(best, again / "weights_best.h5", form)
        found = read_stardist(again).arrays
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    best.unlink()
    assert last.exists()
    found = read_stardist(folder).arrays
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_model_in_a_folder_of_a_zip_file_is_found_and_lacking_thresholds_are_the_usual(tmp_path):
    folder = folder_of("stardist3d", tmp_path / "outer" / "model")
    (folder / "thresholds.json").write_text('{"prob": null, "nms": 1.5}')
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "outer")
    model = read_stardist(tmp_path / "packed.zip")
    assert (model.probability, model.overlap) == (0.5, 0.4)
    (folder / "thresholds.json").unlink()
    assert read_stardist(folder).probability == 0.5


ODD = {
    "axes are": {"axes": "XYC"},
    "vgg": {"backbone": "vgg"},
    "unet_norm": {"unet_norm": 1},
    "network.grid": {"grid": [3, 2]},
    "network.depth": {"unet_n_depth": -1},
    "too deep": {"unet_expansion": 16, "unet_n_filter_base": 4000},
    "network.activation": {"unet_activation": "gelu"},
    "odd lengths": {"unet_kernel_size": [2, 2]},
    "one number per spatial axis": {"grid": [1, 2, 2]},
    "unlike its config.json": {"unet_batch_norm": True},
    "must be (": {"unet_n_filter_base": 5},
    "has no convolution": {"n_classes": 2},
    "network.rays": {"n_rays": 0},
    "network.features": {"net_conv_after_unet": "many"},
}


@pytest.mark.parametrize("word", ODD)
def test_a_model_of_another_kind_is_refused_in_a_line(word, tmp_path):
    folder = folder_of("stardist2d", tmp_path / "model")
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | ODD[word]))
    with pytest.raises(InputError) as caught:
        read_stardist(folder)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rays",
    [
        {"name": "__import__('os').abort", "kwargs": {}},
        {"name": "Rays_GoldenSpiral", "kwargs": {"n": 10**9}},
        {"name": "Rays_GoldenSpiral", "kwargs": {"n": 24, "anisotropy": [0, 1, 1]}},
        {"name": "Rays_GoldenSpiral", "kwargs": {"n": 24, "anisotropy": [True, 1, 1]}},
        {"name": "Rays_GoldenSpiral", "kwargs": []},
        {"name": "Rays_GoldenSpiral"},
        7,
    ],
)
def test_rays_are_never_run(rays, tmp_path):
    folder = folder_of("stardist3d", tmp_path / "model")
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"rays_json": rays}))
    with pytest.raises(InputError):
        read_stardist(folder)


def test_files_that_are_no_model_are_refused_in_a_line(tmp_path):
    folder = folder_of("stardist2d", tmp_path / "model")
    for place, word in (
        (tmp_path / "none", "does not exist"),
        (tmp_path, "no config.json"),
        (folder / "weights_best.h5", "give the folder"),
        (Path(__file__), "no zip file"),
    ):
        with pytest.raises(InputError, match=word):
            read_stardist(place)
    shutil.copy(folder / "weights_best.h5", folder / "weights_best_2.h5")
    with pytest.raises(InputError, match="several files of weights"):
        read_stardist(folder)
    for part in folder.glob("*.h5"):
        part.unlink()
    with pytest.raises(InputError, match="no weights"):
        read_stardist(folder)
    for words in ("[]", "{", '{"axes": NaN}', "[" * 10**5):
        (folder / "config.json").write_text(words)
        with pytest.raises(InputError, match=r"config\.json"):
            read_stardist(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["dist/dist/kernel"].write_direct(np.full(file["dist/dist/kernel"].shape, np.nan, "f4")),
        lambda file: file.__delitem__("prob"),
        lambda file: file.copy("dist", "conv2d_99"),
        lambda file: file.move("prob/prob/bias", "prob/prob/gamma"),
        lambda file: file["dist"].__setitem__("around", file["dist"]),
        lambda file: file["dist"].__setitem__("far", h5py.ExternalLink("other.h5", "/")),
        lambda file: file["dist"].create_dataset("huge", (10**6, 20), "f4", chunks=True, compression="gzip"),
        lambda file: file["dist"].create_dataset("words", data=np.array(["a"], object), dtype=h5py.string_dtype()),
    ],
)
def test_weights_of_another_kind_are_refused(change, tmp_path):
    folder = folder_of("stardist2d", tmp_path / "model")
    expected = read_stardist(folder).arrays
    with h5py.File(folder / "weights_best.h5", "r+") as file:
        change(file)
    try:
        found = read_stardist(folder).arrays
    except InputError as error:
        assert "\n" not in str(error)
    else:  # words beside the numbers of a layer are no matter
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_damaged_files_are_refused_or_read(tmp_path):
    folder = folder_of("stardist2d", tmp_path / "model")
    (folder / "weights_last.weights.h5").unlink()
    random = np.random.default_rng(3)
    refused = 0
    for name in ("weights_best.h5", "config.json", "thresholds.json"):
        whole = (folder / name).read_bytes()
        for turn in range(60 if name.endswith("h5") else 40):
            data = bytearray(whole)
            if turn % 3 == 0:
                del data[int(random.integers(len(data))) :]
            else:
                for at in random.integers(len(data) if turn % 3 == 1 else min(4096, len(data)), size=4):
                    data[at] = random.integers(256)
            (folder / name).write_bytes(data)
            try:
                read_stardist(folder)
            except InputError as error:
                refused += 1
                assert "\n" not in str(error)
        (folder / name).write_bytes(whole)
    assert refused > 60
    assert read_stardist(folder).plan.rays == 16


def test_damaged_zip_files_are_refused_or_read(tmp_path):
    whole = (FOLDER / "stardist3d.zip").read_bytes()
    random = np.random.default_rng(4)
    for turn in range(40):
        data = bytearray(whole)
        if turn % 2:
            del data[int(random.integers(len(data))) :]
        else:
            data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
        (tmp_path / "m.zip").write_bytes(data)
        try:
            read_stardist(tmp_path / "m.zip")
        except InputError as error:
            assert "\n" not in str(error)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 2**24)
    (tmp_path / "m.zip").write_bytes(packed.getvalue())
    with pytest.raises(InputError, match="too large"):
        read_stardist(tmp_path / "m.zip")


def test_a_network_that_makes_no_sense_is_refused():
    for odd, word in (
        ({"backbone": "resnet"}, "for volumes"),
        ({"grid": (1, 2, 2), "kernel": CUBE, "backbone": "resnet", "convolutions": 1}, "2 convolutions"),
        ({"grid": (1, 8, 8), "kernel": CUBE, "backbone": "resnet", "depth": 2}, "reach the grid"),
        ({"kernel": (3, 4)}, "odd"),
        ({"depth": 10, "pool": (8, 8)}, "too deep"),
        ({"filters": 1, "expansion": 0.1}, "too deep"),
    ):
        with pytest.raises(ValidationError, match=word):
            StarDistNetwork(**{"channels": 1, "rays": 8, "grid": (2, 2), "kernel": (3, 3)} | odd)


def test_the_network_is_told_of_without_torch():
    code = "import sys; from segmentry.learn.stardist_reading import read_stardist; read_stardist(sys.argv[1])"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(FOLDER / "stardist2d.zip")], check=True)
