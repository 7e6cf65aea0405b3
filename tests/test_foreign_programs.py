"""Methods that other programs compute: what they are given, and what is made of what they give."""

import sys
import types
import warnings
import zipfile

import numpy as np
import pytest

from segmentry import segment
from segmentry.errors import InputError, ParameterError
from segmentry.image import Grid, Image

torch = pytest.importorskip("torch")


class Squares(torch.nn.Module):
    """Labels as InstanSeg gives them: squares of 8 pixels where it is bright are nuclei, and all of them one cell."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = (x.mean(dim=1) > 0.5).float()
        rows = torch.div(torch.arange(x.shape[2]), 8, rounding_mode="floor")
        columns = torch.div(torch.arange(x.shape[3]), 8, rounding_mode="floor")
        number = 1 + rows[:, None] * 1000 + columns[None, :]
        return torch.stack([bright * number, bright], dim=1)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    place = tmp_path_factory.mktemp("instanseg") / "instanseg.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Squares()).save(str(place))
    return place


def scene(spacing=None):
    pixels = np.zeros((40, 48), np.uint16)
    pixels[8:16, 8:24] = 1000
    return Image(pixels, Grid("YX", pixels.shape, spacing and (spacing, spacing), spacing and "um"))


def test_instanseg_gives_the_labels_of_its_program(program):
    found = segment(scene(), "instanseg", model=str(program)).instances
    assert len(found) == 2
    assert np.array_equal(np.asarray(found.labels) > 0, scene().read() > 0)
    cells = segment(scene(), "instanseg", model=str(program), target=1).instances
    assert len(cells) == 1


def test_a_package_holds_the_program(program, tmp_path):
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as package:
        package.write(program, "instanseg.pt")
        package.writestr("rdf.yaml", "type: model\n")
    found = segment(scene(), "instanseg", model=str(tmp_path / "package.zip")).instances
    assert len(found) == 2


def test_images_that_tell_their_pixel_size_are_resized_for_it(program):
    """At 1 um it sees twice as many pixels, so that squares of 8 of them are 4 here; labels have the image's pixels."""
    found = segment(scene(1.0), "instanseg", model=str(program)).instances
    assert found.grid.shape == (40, 48)
    assert len(found) > 6


def test_what_is_no_program_is_refused(tmp_path, program):
    (tmp_path / "a.pt").write_bytes(b"not a program")
    with pytest.raises(InputError, match="no TorchScript file"):
        segment(scene(), "instanseg", model=str(tmp_path / "a.pt"))
    with pytest.raises(ParameterError, match="needs a model"):
        segment(scene(), "instanseg")
    with pytest.raises(InputError, match="2 label images"):
        segment(scene(), "instanseg", model=str(program), target=2)
    with pytest.raises(InputError, match="another than the recipe means"):
        segment(scene(), "instanseg", model=str(program), sha256="0" * 64)


@pytest.fixture
def package(monkeypatch):
    """A stand-in for the package `cellpose`, which keeps what it is asked."""
    asked = {}

    class CellposeModel:
        def __init__(self, gpu, pretrained_model):
            asked.update(gpu=gpu, file=pretrained_model)

        def eval(self, pixels, **words):
            asked.update(words, shape=pixels.shape)
            labels = (pixels > 500).astype(np.uint16)
            return labels if labels.ndim == 2 or "z_axis" in words else labels[0], [], []

    models = types.ModuleType("cellpose.models")
    models.CellposeModel = CellposeModel
    package = types.ModuleType("cellpose")
    package.models = models
    monkeypatch.setitem(sys.modules, "cellpose", package)
    monkeypatch.setitem(sys.modules, "cellpose.models", models)
    monkeypatch.setattr("segmentry.methods.cellpose_sam.version", lambda _: asked.get("version", "4.0.6"))
    return asked


def test_cellpose_sam_is_asked_as_its_package_wants(package, tmp_path):
    (tmp_path / "cpsam").write_bytes(b"weights")
    parameters = {"model": str(tmp_path / "cpsam"), "diameter": "4 um", "max_error": 0.6, "min_size": 3}
    found = segment(scene(0.5), "cellpose_sam", **parameters).instances
    assert len(found) == 1
    assert package["diameter"] == 8
    assert (package["flow_threshold"], package["cellprob_threshold"], package["min_size"]) == (0.6, 0, 3)
    volume = Image(np.zeros((3, 10, 12), np.uint16), Grid("ZYX", (3, 10, 12), (2.0, 0.5, 0.5), "um"))
    segment(volume, "cellpose_sam", model=str(tmp_path / "cpsam"))
    assert (package["do_3D"], package["z_axis"], package["anisotropy"]) == (True, 0, 4)


def test_without_its_package_or_its_file_cellpose_sam_says_what_to_do(package, tmp_path, monkeypatch):
    (tmp_path / "cpsam").write_bytes(b"weights")
    monkeypatch.setattr("segmentry.methods.cellpose_sam.USUAL", tmp_path / "none")
    with pytest.raises(InputError, match="does not exist"):
        segment(scene(), "cellpose_sam")
    package["version"] = "3.1.1"
    with pytest.raises(InputError, match="needs cellpose 4"):
        segment(scene(), "cellpose_sam", model=str(tmp_path / "cpsam"))
    monkeypatch.setitem(sys.modules, "cellpose", None)
    with pytest.raises(InputError, match="pip install"):
        segment(scene(), "cellpose_sam", model=str(tmp_path / "cpsam"))
