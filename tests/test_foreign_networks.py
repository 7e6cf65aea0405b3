"""Networks of other programs, from their files to objects."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from scipy.ndimage import gaussian_filter

from segmentry.app.cli import run as command
from segmentry.errors import InputError, ParameterError
from segmentry.image import Image
from segmentry.io import read_labels
from segmentry.learn.cellpose_network import CellposeNetwork, expected_weights
from segmentry.learn.network_file import load_network
from segmentry.learn.scaling import Scaling
from segmentry.methods.cellpose import Cellpose
from segmentry.methods.stardist import StarDist
from segmentry.metrics import match_objects
from segmentry.result import Instances
from segmentry.run import run
from taught import network_file

torch = pytest.importorskip("torch")
REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    """Networks that StarDist trained and saved, in the plane and in volumes."""
    found = {}
    for name in ("stardist2d", "stardist3d"):
        found[name] = tmp_path_factory.mktemp("stars") / f"{name}.safetensors"
        assert command(["weights", "import", str(REFERENCE / f"{name}.zip"), "-o", str(found[name])]) == 0
    return found


@pytest.fixture(scope="module")
def flows(tmp_path_factory):
    """A small network with random weights, as Cellpose saves it."""
    folder = tmp_path_factory.mktemp("flows")
    rng, state = np.random.default_rng(1), {}
    for name, shape in expected_weights(CellposeNetwork(widths=(4, 8))).items():
        counts = name.endswith("num_batches_tracked")
        values = np.zeros(shape, np.int64) if counts else rng.uniform(-0.5, 0.5, shape).astype(np.float32)
        state[name] = torch.from_numpy(np.abs(values) + np.float32(0.5) if name.endswith("running_var") else values)
    torch.save(state, folder / "cyto")
    assert command(["weights", "import", str(folder / "cyto"), "-o", str(folder / "cyto.safetensors")]) == 0
    return folder / "cyto.safetensors"


@pytest.mark.parametrize(("name", "part"), [("stardist2d", "plane"), ("stardist3d", "volume")])
def test_a_model_of_stardist_gives_the_objects_of_stardist(stars, name, part):
    with np.load(REFERENCE / "stardist.npz") as file:
        pixels, labels = file[f"{part}.image"], file[f"{part}.labels"]
        points, probability = file[f"{part}.points"], file[f"{part}.probability"]
    # StarDist was given the intensities divided by 255.
    network = replace(load_network(stars[name]), scaling=Scaling(by="fixed", fixed=((0.0, 255.0),)))
    found = run(StarDist.with_model(network), Image.from_array(pixels)).instances
    truth = Instances.from_labels(labels.astype(np.uint32), found.grid)
    assert len(match_objects(found, truth).matched(0.9)) == len(found) == len(truth) == len(points)
    # What lies beyond the image's far edges is mirrored here with the pixels at the edge, there without.
    np.testing.assert_allclose(np.sort(found.scores), np.sort(probability), atol=0.02)


def test_a_model_is_imported_and_segments_files(stars, tmp_path, capsys):
    with np.load(REFERENCE / "stardist.npz") as file:
        tifffile.imwrite(tmp_path / "a.tif", file["plane.image"])
    words = ["segment", str(tmp_path / "a.tif"), "-o", str(tmp_path / "out"), "--method", "stardist"]
    assert command([*words, "--set", f"model={stars['stardist2d']}"]) == 0
    labels = read_labels(tmp_path / "out" / "a" / "labels.ome.tif")
    assert len(labels) > 5
    record = json.loads((tmp_path / "out" / "a" / "run.json").read_text("utf-8"))
    assert record["recipe"]["method"]["stardist"]["sha256"] or record["learned"]["stardist"]["sha256_"]
    assert command(["replay", str(tmp_path / "out" / "a")]) == 0
    assert command(["weights", "info", str(stars["stardist2d"])]) == 0
    assert "StarDist" in capsys.readouterr().out


def packed(target, weights="stardist_weights.h5", **changes):
    """A model of StarDist as its own `export_bioimageio` lays it out."""
    with zipfile.ZipFile(REFERENCE / "stardist2d.zip") as file:
        config, thresholds = (json.loads(file.read(name)) for name in ("config.json", "thresholds.json"))
        arrays = file.read("weights_best.h5")
    said = {"config": config, "thresholds": thresholds, "weights": "stardist_weights.h5", **changes}
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("rdf.yaml", yaml.safe_dump({"type": "model", "config": {"stardist": said}}))
        file.writestr(weights, arrays)
        file.writestr("weights.h5", b"of another format")
    return str(target)


def test_packages_that_stardist_made_are_the_model_in_them(stars, tmp_path, capsys):
    package = packed(tmp_path / "package.zip")
    assert command(["weights", "import", package, "-o", str(tmp_path / "found.safetensors")]) == 0
    one, other = load_network(tmp_path / "found.safetensors"), load_network(stars["stardist2d"])
    assert one.representation == other.representation
    assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in other.arrays)
    lost = packed(tmp_path / "lost.zip", "other.h5")
    odd = packed(tmp_path / "odd.zip", config=3)
    for broken, said in ((lost, "no file 'stardist_weights.h5'"), (odd, "not that of a model of StarDist")):
        assert command(["weights", "import", broken, "-o", str(tmp_path / "none.safetensors")]) == 1
        assert said in capsys.readouterr().err


def test_tiles_give_the_objects_of_the_whole(stars):
    with np.load(REFERENCE / "stardist.npz") as file:
        image = Image.from_array(np.tile(file["plane.image"], (2, 2)))
    step = StarDist(model=str(stars["stardist2d"]))
    whole, tiled = (np.asarray(run(step, image, tile=tile).instances.labels[...]) for tile in (None, 37))
    assert np.array_equal(whole, tiled)


def test_a_network_of_cellpose_sees_one_or_two_channels_and_volumes(flows):
    network = load_network(flows)
    assert network.diameter == 30
    step = Cellpose(model=str(flows))
    rng = np.random.default_rng(0)
    grey = rng.random((40, 50)).astype(np.float32)
    one = run(step, Image.from_array(grey)).instances
    two = run(step, Image.from_array(np.stack([grey, np.zeros_like(grey)]), "CYX")).instances
    assert np.array_equal(one.labels, two.labels)
    volume = run(step, Image.from_array(rng.random((6, 20, 24)).astype(np.float32))).instances
    assert volume.grid.shape == (6, 20, 24)
    with pytest.raises(InputError, match="2 channels"):
        run(step, Image.from_array(np.stack([grey] * 3), "CYX"))


def test_a_diameter_resizes_what_the_network_sees(flows):
    step = Cellpose(model=str(flows), diameter=15)
    image = Image.from_array(np.random.default_rng(0).random((30, 40)).astype(np.float32))
    assert step.prepared(image).zoom_ == 2
    with pytest.raises(ParameterError, match="resized by 16 times"):
        Cellpose(model=str(flows), diameter=1000).prepared(image)
    with pytest.raises(ParameterError, match="does not know of which diameter"):
        Cellpose.with_model(replace(load_network(flows), diameter=None), diameter=5).prepared(image)


def test_a_method_refuses_a_network_that_tells_something_else(stars, flows):
    with pytest.raises(InputError, match="tells stars, and cellpose needs flows"):
        Cellpose(model=str(stars["stardist2d"])).knowledge()
    with pytest.raises(InputError, match="tells flows, and stardist needs stars"):
        StarDist(model=str(flows)).knowledge()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Path.exists, "does not exist"),
        (lambda p: p.write_bytes(b"no network"), "network of Cellpose"),
        (lambda p: p.mkdir(), "config.json"),
    ],
)
def test_what_is_no_network_is_refused_in_a_line(tmp_path, capsys, make, said):
    make(tmp_path / "x")
    assert command(["weights", "import", str(tmp_path / "x"), "-o", str(tmp_path / "n.safetensors")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "n.safetensors").exists()


#: What the makers of the format say of a package.
MAKERS = """
import sys
from bioimageio.core import test_description
print(test_description(sys.argv[1], weight_format="onnx").status)
"""


def test_a_network_on_a_grid_becomes_a_package_that_others_accept(stars, tmp_path):
    pytest.importorskip("bioimageio.core")
    package = tmp_path / "stars.zip"
    assert command(["weights", "export", str(stars["stardist2d"]), str(package)]) == 0
    # In a process of its own: it leaves files open.
    done = subprocess.run([sys.executable, "-c", MAKERS, str(package)], check=False, capture_output=True, text=True)
    assert done.stdout.split()[-1:] == ["passed"], done.stdout + done.stderr


def test_distances_are_told_in_the_pixels_of_the_image():
    pixels = np.zeros((90, 90), np.float32)
    pixels[45, 45] = 1
    # The network tells of objects of 6 pixels; seen larger, the same distances are fewer pixels of the image.
    sizes = [
        run(StarDist(model=network_file(2, "stars"), diameter=diameter, threshold=0.6), Image.from_array(blurred))
        .instances.labels.astype(bool).sum()
        for diameter, blurred in ((6, gaussian_filter(pixels, 4)), (2, gaussian_filter(pixels, 4)))
    ]  # fmt: skip
    assert sizes[0] / sizes[1] == pytest.approx(9, rel=0.4)
