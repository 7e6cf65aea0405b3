"""Training itself: it learns, goes on where it was cut off, and says clearly what it can't do."""

import json

import numpy as np
import pytest

from segmentry.errors import InputError, OutputError, ParameterError
from segmentry.image import Image
from segmentry.learn.augmentation import Augmentation
from segmentry.learn.examples import Example, Examples
from segmentry.learn.fingerprint import fingerprint
from segmentry.learn.patches import Patches
from segmentry.learn.plan import Plan, planned
from segmentry.learn.representation import representation
from segmentry.learn.scaling import Scaling
from segmentry.network_training import lesson, train_network, tuned

torch = pytest.importorskip("torch")
from segmentry.learn.networks.fitting import chosen_device  # noqa: E402

SMALL = {
    "steps": 24, "check_every": 8, "batch": 4, "patch": [32, 32], "learning_rate": 0.01,
    "architecture.widths": [8, 8, 16], "architecture.strides": [[2, 2], [2, 2]], "architecture.deep_supervision": False,
}  # fmt: skip


def discs(seed, ids=False):
    """A disc or two, bright on dark, with their labels."""
    rng = np.random.default_rng(seed)
    places, labels = np.indices((48, 48)), np.zeros((48, 48), np.int64)
    for number in (1, 2):
        centre = rng.uniform(8, 40, 2)
        inside = sum((p - c) ** 2 for p, c in zip(places, centre, strict=True)) < rng.uniform(30, 60)
        labels[inside & (labels == 0)] = number if ids else 1
    pixels = 100 * (labels > 0) + rng.normal(50, 15, labels.shape)
    return Example(Image.from_array(pixels.astype(np.float32)), labels)


def examples(count=6, **how):
    return Examples.of([discs(i, **how) for i in range(count)], [f"disc {i}" for i in range(count)])


def taught(changes=None, given=None, **how):
    learned = lesson(given or examples(), ("background", "disc"))
    plan = planned(learned.found).changed({**SMALL, **(changes or {})})
    return train_network(learned, plan, device="cpu", **how)


def test_a_network_learns_discs_in_a_few_steps():
    rows = []
    found = taught({"steps": 48}, tell=rows.append)
    assert found.score > 0.9
    assert [row["step"] for row in rows] == [8, 16, 24, 32, 40, 48]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert len(found.held) == 1


def test_a_training_that_was_killed_goes_on_as_it_would_have(tmp_path):
    whole = taught()

    class Killed(BaseException):
        pass

    def kill(row):
        if row["step"] == 16:
            raise Killed

    with pytest.raises(Killed):
        taught(checkpoint=tmp_path / "t", tell=kill)
    rows = []
    again = taught(checkpoint=tmp_path / "t", resume=True, tell=rows.append)
    assert [row["step"] for row in rows] == [24]
    assert [(r["step"], r["loss"], r["score"]) for r in again.history] == [
        (r["step"], pytest.approx(r["loss"], rel=1e-4), pytest.approx(r["score"], abs=1e-3)) for r in whole.history
    ]
    for name, value in whole.weights.items():
        np.testing.assert_allclose(again.weights[name], value, rtol=1e-3, atol=1e-4)


def test_a_training_of_another_plan_or_damaged_is_not_gone_on_with(tmp_path):
    taught({"steps": 8}, checkpoint=tmp_path / "t")
    with pytest.raises(InputError, match=r"another plan: .*steps"):
        taught({"steps": 9}, checkpoint=tmp_path / "t", resume=True)
    content = (tmp_path / "t").read_bytes()
    for wrong in (content[:100], b"", b"\x80\x04pickle", content[:-7]):
        (tmp_path / "w").write_bytes(wrong)
        with pytest.raises(InputError, match="no training, or it is damaged"):
            taught({"steps": 8}, checkpoint=tmp_path / "w", resume=True)
    with pytest.raises(InputError, match="does not exist"):
        taught(checkpoint=tmp_path / "none", resume=True)


def test_a_training_that_began_when_plans_said_less_goes_on(tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    whole = taught({"steps": 8}, checkpoint=tmp_path / "t")
    with safe_open(tmp_path / "t", framework="numpy") as opened:
        ((key, told),) = opened.metadata().items()
    said = json.loads(told)
    for name in ("encoder", "blocks", "decoder", "rates"):
        del said["plan"]["architecture"][name]
    save_file(load_file(tmp_path / "t"), tmp_path / "t", {key: json.dumps(said)})
    assert taught({"steps": 8}, checkpoint=tmp_path / "t", resume=True).history == whole.history


def test_a_full_disk_loses_nothing_of_what_was_saved(tmp_path, monkeypatch):
    taught({"steps": 8}, checkpoint=tmp_path / "t")
    before = (tmp_path / "t").read_bytes()

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        taught({"steps": 8}, checkpoint=tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def test_few_labelled_pixels_teach_and_the_rest_is_not_counted():
    """Labels that are wrong wherever they don't count change nothing."""
    few, lies = [], []
    for i in range(6):
        one = discs(i)
        told = np.random.default_rng(i).random(one.labels.shape) < 0.1
        few.append(Example(one.image, np.where(told, one.labels, 255), 255))
        lies.append(Example(one.image, np.where(told, one.labels, 200), 200))
    first = taught({"steps": 20}, given=Examples.of(few))
    second = taught({"steps": 20}, given=Examples.of(lies))
    assert first.score > 0.8
    assert all(np.array_equal(first.weights[k], second.weights[k]) for k in first.weights)


@pytest.mark.parametrize("name", ["boundary", "distance"])
def test_objects_are_learned_too(name):
    learned = lesson(examples(ids=True), task="instances")
    plan = planned(learned.found, name).changed({**SMALL, "steps": 60, "check_every": 20})
    assert train_network(learned, plan, device="cpu").score > 0.4


def test_what_is_made_of_maps_is_tuned_on_images_held_out():
    """Specks that a network takes for objects go, if no true object is as small."""
    example = discs(1, ids=True)
    found, _ = fingerprint(Examples.of([example]), task="instances")
    inside = (example.labels > 0).astype(np.float32)
    inside[::12, ::12] = 1
    maps = np.stack([1 - inside, inside, 0 * inside])
    before = representation("boundary")
    after, score = tuned([(maps, example.labels, example.image.grid)], before, found, 0.1)
    assert after.min_size > before.min_size
    assert score > 0.5
    assert tuned([], before, found, 0.1) == (before, 0.1)


def test_balanced_weights_and_other_losses_train():
    for loss in ({"name": "focal", "weights": "balanced"}, {"name": "tversky"}, {"name": "dice"}):
        found = taught({"steps": 8, "loss": json.loads(json.dumps(loss))})
        assert np.isfinite(found.history[-1]["loss"])


def test_a_single_image_is_held_out_in_part():
    learned = lesson(Examples.of([discs(0)]), ("background", "disc"))
    shapes = [e[0].image.grid.shape for e in (learned.learned, learned.held)]
    assert shapes[0][0] + shapes[1][0] == 48 or shapes[0][1] + shapes[1][1] == 48


def test_each_class_is_among_what_is_held_out():
    """Where only some images have a class, one of these is held out."""
    few = [discs(i) for i in range(8)]
    few = [one if i in (2, 5) else Example(one.image, np.zeros_like(one.labels)) for i, one in enumerate(few)]
    for seed in range(12):
        learned = lesson(Examples.of(few), ("background", "disc"), seed=seed)
        for part in (learned.learned, learned.held):
            assert any((part[i].labels > 0).any() for i in range(len(part)))
        assert len(learned.places) == len(learned.learned)


def test_crops_lie_anywhere_in_the_image():
    patches = Patches(examples(1), [{}], 0.0, Scaling())
    drawn = {patches.draw(np.random.default_rng(i), (46, 48)).centre for i in range(200)}
    assert drawn == {(y, 24) for y in (23, 24, 25)}


def test_what_a_crop_is_drawn_for_lies_anywhere_in_it():
    """Were it in the middle, a network would learn that the middle is what it looks for."""
    pixel = (20, 9)
    patches = Patches(examples(1), [{1: np.array([pixel])}], 1.0, Scaling())
    for patch in ((16, 16), (7, 12)):
        drawn = [patches.draw(np.random.default_rng(i), patch).centre for i in range(400)]
        found = np.array(pixel) - drawn + np.array(patch) // 2
        assert (found >= 0).all()
        assert (found < patch).all()
        for axis, length in enumerate(patch):
            # Near the edge of the image the crop does not leave it: column 9 is never far to the right in it.
            most = min(length, pixel[axis] + 1)
            assert len(np.unique(found[:, axis])) == most
    # A crop as large as the image is the image.
    assert patches.draw(np.random.default_rng(0), (48, 48)).centre == (24, 24)


def test_a_class_that_few_images_have_is_drawn_often():
    at = np.array([[5, 5]])
    places = [{0: at, 1: at} for _ in range(15)] + [{0: at, 2: at}]
    patches = Patches(examples(16), places, 1.0, Scaling())
    drawn = [patches.draw(np.random.default_rng(i), (8, 8)).number for i in range(500)]
    assert 0.15 < drawn.count(15) / 500 < 0.26  # 1 of 1 + sqrt(15), not 1 of 16


def test_a_device_that_is_not_there_is_refused_with_what_is():
    assert chosen_device("cpu").type == "cpu"
    with pytest.raises(ParameterError, match="none of auto"):
        chosen_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ParameterError, match="this machine has cpu"):
            chosen_device("cuda")


def test_images_that_can_not_be_learned_from_are_refused():
    def example(shape=(8, 8), axes="YX", value=0, label=1):
        labels = np.full([n for n, a in zip(shape, axes, strict=True) if a != "C"], label)
        return Example(Image.from_array(np.full(shape, value, np.float32), axes), labels)

    for wrong, told in (
        ([example(), example((3, 8, 8), "ZYX")], "2 spatial axes, 1 has 3"),
        ([example(), example((2, 8, 8), "CYX")], "1 channels, 1 has 2"),
        ([example(label=0)], "all labels are empty"),
        ([example(value=np.nan)], "0: no pixel of the image is a finite number"),
        ([], "no image"),
    ):
        with pytest.raises(InputError, match=told):
            fingerprint(Examples.of(wrong))
    with pytest.raises(InputError, match="don't fit"):
        Example(Image.from_array(np.zeros((4, 4), np.uint8)), np.zeros((4, 5), int))


def test_plans_are_data_that_can_be_changed():
    found, _ = fingerprint(examples())
    plan = planned(found)
    assert Plan.from_dict(json.loads(plan.model_dump_json())) == plan
    assert plan.changed({"architecture.residual": True, "augmentation": Augmentation.none().model_dump()}) != plan
    for wrong in ({"stps": 3}, {"architecture.width": 3}, {"steps": 0}, {"steps": {"a": 1}}, {"patch": [8, 8, 8, 8]}):
        with pytest.raises(ParameterError):
            plan.changed(wrong)
