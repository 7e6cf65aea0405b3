import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import pytest
import yaml

from segmentry.errors import InputError, OutputError
from segmentry.learn.architecture import Architecture
from segmentry.learn.bioimage import save_bioimage
from segmentry.learn.bioimage_reading import PackagedNetwork, load_bioimage
from segmentry.learn.engines import engine
from segmentry.learn.network_file import Network
from segmentry.learn.representation import activated, representation
from segmentry.learn.scaling import Scaling
from small_network import small_network


def softmax(scores):
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path, change=None, **files):
    """Write a package by others: without our own file, and with a changed description."""
    held = contents(path)
    del held["network.safetensors"]
    said = yaml.safe_load(held["rdf.yaml"])
    if change:
        change(said)
    held = {**held, "rdf.yaml": yaml.safe_dump(said).encode(), **files}
    target = path.with_name("other.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in held.items():
            if content is not None:
                archive.writestr(name, content)
    return target


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_package_holds_all_that_other_programs_need(dimensions, tmp_path):
    network = small_network(dimensions, channels=2)
    held = contents(save_bioimage(tmp_path / "n.zip", network))
    said = yaml.safe_load(held["rdf.yaml"])
    assert said["format_version"].startswith("0.5.")
    assert said["license"] == "CC-BY-4.0"
    assert said["cite"][0]["doi"] == "10.1007/978-3-319-24574-4_28"
    onnx.checker.check_model(onnx.load_from_string(held["weights.onnx"]), full_check=True)
    image, maps = (np.load(io.BytesIO(held[f"test_{name}.npy"])) for name in ("input", "output"))
    assert image.shape == (1, 2, *network.tile)
    axes = tuple(range(2, image.ndim))
    seen = (image - image.mean(axes, keepdims=True)) / (image.std(axes, keepdims=True) + 1e-6)
    assert [step["id"] for step in said["inputs"][0]["preprocessing"]] == ["zero_mean_unit_variance", "clip"]
    assert said["outputs"][0]["postprocessing"] == [{"id": "softmax", "kwargs": {"axis": "channel"}}]
    import onnxruntime

    session = onnxruntime.InferenceSession(held["weights.onnx"])
    scores = session.run(None, {"image": seen.clip(-10, 10).astype(np.float32)})[0]
    assert np.abs(softmax(scores) - maps).max() < 1e-5
    spatial = said["inputs"][0]["axes"][2:]
    assert [axis["id"] for axis in spatial] == ["z", "y", "x"][-dimensions:]
    assert {(axis["unit"], axis["scale"]) for axis in spatial} == {("micrometer", 0.5)}


#: What the makers of the format say of a package.
MAKERS = """
import sys
from bioimageio.core import test_description
from bioimageio.spec import load_description
print(load_description(sys.argv[1], perform_io_checks=True).validation_summary.status)
print(test_description(sys.argv[1], weight_format="onnx").status)
"""


@pytest.mark.parametrize("scaling", [Scaling(), Scaling(by="fixed", fixed=((100.0, 20.0),), limit=4.0)])
def test_packages_are_valid_for_the_makers_of_the_format(scaling, tmp_path):
    path = save_bioimage(tmp_path / "n.zip", small_network(scaling=scaling))
    # In a process of its own: it leaves files open.
    done = subprocess.run([sys.executable, "-c", MAKERS, str(path)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["valid-format", "passed"], done.stdout + done.stderr


def test_our_own_package_comes_back_as_it_was(tmp_path):
    network = small_network()
    path = save_bioimage(tmp_path / "n.zip", network)
    again = load_bioimage(path)
    assert isinstance(again, Network)
    assert again.graph == network.graph
    assert again.card == network.card
    assert save_bioimage(tmp_path / "again.zip", again).read_bytes() == path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        save_bioimage(path, network)


SCALINGS = [
    Scaling(low=2, high=99),
    Scaling(by="deviation", limit=5.0),
    Scaling(by="fixed", fixed=((7.0, 3.0), (1.0, 2.0)), limit=1e6),
]


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda s: s.by)
def test_a_package_by_others_runs_as_its_example_says(scaling, tmp_path):
    network = small_network(channels=2, scaling=scaling)
    path = rewritten(save_bioimage(tmp_path / "n.zip", network))
    found = load_bioimage(path)
    assert isinstance(found, PackagedNetwork)
    assert found.channels == ("DNA", "actin")
    assert (found.spacing, found.unit, found.multiple) == ((0.5, 0.5), "um", (1, 1))
    assert found.licence == "CC-BY-4.0"
    assert {k: v for k, v in found.scaling if k in ("by", "limit", "fixed")} == {
        k: v for k, v in scaling if k in ("by", "limit", "fixed")
    }
    held = contents(path)
    image, maps = (np.load(io.BytesIO(held[f"test_{name}.npy"]))[0] for name in ("input", "output"))
    flat = image.reshape(2, -1)
    low, high = np.percentile(flat, (2, 99), axis=1)
    scale = {
        "percentiles": list(zip(low, high - low, strict=True)),
        "deviation": list(zip(flat.mean(1), flat.std(1), strict=True)),
        "fixed": scaling.fixed,
    }[scaling.by]
    for name in ("onnxruntime", "openvino", "auto"):
        pytest.importorskip("openvino" if name == "openvino" else "onnxruntime")
        run = engine(found, name)
        again = activated(run(found.scaling.applied(image, scale)[None])[0], found.heads)
        assert np.abs(again - maps).max() < 1e-4
    with pytest.raises(InputError, match="given as a graph alone"):
        engine(found, "torch")


def test_maps_of_several_kinds_are_given_as_they_are(tmp_path):
    network = small_network(representation=representation("distance"))
    held = contents(save_bioimage(tmp_path / "n.zip", network))
    said = yaml.safe_load(held["rdf.yaml"])
    assert said["outputs"][0]["postprocessing"] == []
    assert said["outputs"][0]["axes"][1]["channel_names"] == ["foreground_0", "foreground_1", "distance_0"]
    assert said["config"]["segmentry"]["representation"] == "distance"
    assert json.loads(json.dumps(said["config"])) == said["config"]


def setting(path, value):
    def change(said):
        *way, last = path.split(".")
        for part in way:
            said = said[int(part) if part.isdigit() else part]
        said[int(last) if last.isdigit() else last] = value

    return change


STEPS = "inputs.0.preprocessing"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (setting("format_version", "0.4.10"), "0.5 is read"),
        (setting("type", "dataset"), "no model"),
        (setting("weights", {"torchscript": {}}), "no weights in the ONNX format"),
        (setting("weights.onnx.source", "../../etc/passwd"), "holds no ../../etc/passwd"),
        (setting("weights.onnx.sha256", "0" * 64), "SHA-256"),
        (setting("weights.onnx.external_data", {"source": "w.bin"}), "two files"),
        (setting("inputs", [1, 2]), "from one image to one"),
        (setting("inputs.0.axes.0.type", "index"), "batch, channel, (z,) y, x"),
        (setting("inputs.0.axes.3.id", "y"), "batch, channel, (z,) y, x"),
        (setting("inputs.0.axes.1.channel_names", ["a", "b"]), "its graph takes or gives something else"),
        (setting("inputs.0.axes.2.size", {"min": 10, "step": 4}), "must be a multiple"),
        (setting("inputs.0.axes.2.size", {"min": 16, "step": 0}), "length 0"),
        (setting("inputs.0.axes.2.size", 10**12), "the length 1000000000000"),
        (setting("outputs.0.axes.2.size.offset", -8), "another size"),
        (setting("outputs.0.axes.2.scale", 2.0), "another size"),
        (setting("outputs.0.postprocessing", [{"id": "binarize"}]), "maps changed in a way"),
        (setting(STEPS, [{"id": "custom"}]), "prepared in a way that is not known: 'custom'"),
        (setting(STEPS, [{"id": "scale_range"}, {"id": "scale_linear"}]), "in several ways"),
        (setting(STEPS, [{"id": "scale_range", "kwargs": {"axes": ["y"]}}]), "each channel by itself"),
        (setting(STEPS, [{"id": "scale_linear", "kwargs": {"gain": -1}}]), "not above 0"),
        (setting(STEPS, [{"id": "scale_range", "kwargs": {"min_percentile": "low"}}]), "no number"),
        (setting(STEPS, "percentiles"), "not understood"),
    ],
)
def test_packages_that_can_not_be_used_are_refused_in_a_line(change, line, tmp_path):
    path = rewritten(save_bioimage(tmp_path / "n.zip", small_network()), change)
    with pytest.raises(InputError) as caught:
        load_bioimage(path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


BOMB = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in b"abcdefghijklmnopq")


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"rdf.yaml": None}, "holds no rdf.yaml"),
        ({"rdf.yaml": b"!!python/object/apply:os.system ['x']"}, "no YAML"),
        ({"rdf.yaml": b"{" * 5000}, "no YAML"),
        ({"rdf.yaml": BOMB}, "repeats parts by reference"),
        ({"rdf.yaml": b"a: " + bytes(2**19)}, "too large"),
        ({"weights.onnx": bytes(2**24)}, "too large"),
        ({"network.safetensors": b"\x80\x04"}, "not in the safetensors format"),
    ],
)
def test_hostile_packages_are_refused_in_a_line(files, line, tmp_path):
    path = rewritten(save_bioimage(tmp_path / "n.zip", small_network()), **files)
    with pytest.raises(InputError) as caught:
        load_bioimage(path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip file at all"])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "n.zip").write_bytes(content)
    with pytest.raises(InputError, match="no zip file"):
        load_bioimage(tmp_path / "n.zip")
    with pytest.raises(InputError, match="does not exist"):
        load_bioimage(tmp_path / "none.zip")


def test_a_network_without_a_graph_is_no_package(tmp_path):
    with pytest.raises(InputError, match="no graph"):
        save_bioimage(tmp_path / "n.zip", small_network(graph=b""))
    assert not (tmp_path / "n.zip").exists()


def test_lengths_that_levels_ask_for_are_told_and_kept(tmp_path):
    plan = Architecture(channels=1, outputs=3, widths=(4,), strides=(), kernels=((3, 3),))
    assert plan.multiple == (1, 1)

    def coarse(said):
        for axis in said["inputs"][0]["axes"][2:]:
            axis["size"] = {"min": 64, "step": 16}

    found = load_bioimage(rewritten(save_bioimage(tmp_path / "n.zip", small_network()), coarse))
    assert (found.multiple, found.tile) == ((64, 64), (512, 512))
