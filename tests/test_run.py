from typing import ClassVar, Literal

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from segmentry import run as run_module
from segmentry import workspace
from segmentry.cleaning.drop_small import DropSmall
from segmentry.cleaning.fill_holes import FillHoles
from segmentry.errors import Cancelled, InputError, UnknownNameError
from segmentry.filters.gaussian import Gaussian
from segmentry.filters.resample import Resample
from segmentry.image import Grid, Image
from segmentry.methods.otsu import Otsu
from segmentry.methods.region_growing import RegionGrowing
from segmentry.methods.watershed import Watershed
from segmentry.result import Panoptic, Semantic
from segmentry.run import run
from segmentry.step import Segmenter
from segmentry.testing import sample_image
from segmentry.workspace import DiskArray


def labels_of(outcome):
    return np.asarray(outcome.instances.labels[...])


def test_the_threshold_of_a_series_is_that_of_all_its_frames():
    image = sample_image("TYX")
    assert run(Otsu(), image).segmenter.threshold_.threshold == threshold_otsu(image.read())


def test_several_channels_are_not_chosen_from_silently():
    image = sample_image("CYX")
    with pytest.raises(InputError, match="channel 0, channel 1"):
        run(Otsu(), image)
    chosen = run(Otsu(), image, channel="channel 1")
    alone = run(Otsu(), Image.from_array(image.read()[1]))
    assert np.array_equal(labels_of(chosen), labels_of(alone))
    with pytest.raises(UnknownNameError, match="channel 0"):
        run(Otsu(), image, channel="chanel 0")


def test_colour_becomes_luminance_and_that_is_said():
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[1:3, 1:3] = (0, 200, 0)
    outcome = run(Otsu(), Image.from_array(pixels, "YXC"))
    assert len(outcome.instances) == 1
    assert any("luminance" in note for note in outcome.notes)


def test_labels_lie_on_the_pixels_of_the_image_even_after_resampling():
    image = sample_image("ZYX", spacing=True)
    outcome = run(Watershed(), image, filters=[Resample()])
    assert outcome.filtered.grid.shape == (24, 48, 56)
    assert outcome.instances.grid == image.grid


def test_a_seen_object_is_found_at_every_time_point_with_its_own_id():
    pixels = np.zeros((3, 9, 9), np.uint8)
    pixels[:, 2:5, 2:5] = 200
    outcome = run(Otsu(), Image.from_array(pixels, "TYX"))
    assert [np.unique(frame).tolist() for frame in labels_of(outcome)] == [[0, 1], [0, 2], [0, 3]]


def test_a_region_larger_than_any_window_is_found_whole():
    pixels = np.zeros((400, 420), np.uint8)
    pixels[20:380, 30:60] = pixels[20:40, 30:400] = pixels[360:380, 30:400] = 200
    image = Image.from_array(pixels)
    whole, tiled = (run(Watershed(), image, tile=tile) for tile in (None, 20))
    assert np.array_equal(labels_of(whole), labels_of(tiled))


def test_results_on_disk_equal_results_in_memory(monkeypatch):
    image = sample_image("TZYX", "u2", spacing=True)
    steps = {"filters": [Gaussian(sigma=1)], "cleaners": [FillHoles(), DropSmall(min_size=9)]}
    for method in (Otsu(), Watershed()):
        memory = run(method, image, **steps)
        with monkeypatch.context() as patch:
            patch.setattr(workspace, "IN_MEMORY_BYTES", 0)
            patch.setattr(run_module, "IN_MEMORY_VALUES", 0)
            disk = run(method, image, probabilities=True, **steps)
        assert isinstance(disk.instances.labels, DiskArray)
        assert np.array_equal(labels_of(memory), labels_of(disk))
        assert np.array_equal(memory.instances.scores, disk.instances.scores)


def test_a_run_is_stopped_from_its_progress():
    def stop(_what, share):
        if share > 0.3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        run(Otsu(), sample_image("TYX"), tile=16, progress=stop)


def test_progress_ends_at_one():
    seen = []
    run(Watershed(), sample_image("TYX"), tile=16, progress=lambda what, share: seen.append((what, share)))
    assert seen[-1] == ("watershed", 1.0)
    assert all(0 <= share <= 1 for _, share in seen)


def test_a_method_that_needs_the_whole_image_says_what_memory_it_takes():
    class Endless:
        shape, dtype = (200_000, 200_000), np.dtype("u1")

        def __getitem__(self, key):
            return np.zeros([s.indices(n)[1] - s.indices(n)[0] for s, n in zip(key, self.shape, strict=True)], "u1")

    with pytest.raises(InputError, match="whole image at once: about"):
        run(RegionGrowing(range_=(0, 1)), Image(Endless(), Grid("YX", Endless.shape)))


def test_one_region_that_memory_cannot_hold_is_refused(monkeypatch):
    image = Image.from_array(np.pad(np.full((300, 300), 200, np.uint8), 1))
    monkeypatch.setattr(workspace, "BYTES_PER_PIXEL", 10**8)
    with pytest.raises(InputError, match="segmented in one piece: about"):
        run(Watershed(), image, tile=64)


def test_what_was_learned_from_one_image_is_kept_for_another():
    learned = run(Otsu(), sample_image(seed=1)).segmenter
    other = sample_image(seed=2)
    assert run(learned, other).segmenter == learned
    assert run(Otsu(), other).segmenter != learned


class Split(Segmenter):
    """Calls bright pixels things of one class and dim ones stuff of another."""

    name: ClassVar[str] = "split"
    task: ClassVar[Literal["panoptic"]] = "panoptic"

    def segment(self, image):
        pixels = image.read()
        classes = np.where(pixels > 60, 2, np.where(pixels > 25, 1, 0)).astype(np.uint8)
        names = ("background", "stuff", "thing")
        things = Semantic((pixels > 60).astype(np.uint8) * np.uint8(2), image.grid, names).instances()
        return Panoptic(Semantic(classes, image.grid, names), things)


def test_panoptic_results_are_tiled_and_cleaned_as_well():
    image = sample_image()
    whole = run(Split(), image, cleaners=[DropSmall(min_size=8)])
    tiled = run(Split(), image, cleaners=[DropSmall(min_size=8)], tile=13)
    assert isinstance(whole.result, Panoptic)
    assert np.array_equal(labels_of(whole), labels_of(tiled))
    assert np.array_equal(whole.result.classes.classes[...], tiled.result.classes.classes[...])
    classes = np.asarray(whole.result.classes.classes)
    assert {0, 1, 2} == set(np.unique(classes))
    assert np.array_equal(classes == 2, labels_of(whole) > 0)


def test_volumes_can_be_segmented_plane_by_plane():
    image = sample_image("ZYX")
    outcome = run(Watershed(), image, planes=True)
    for z in range(12):
        alone = run(Watershed(threshold=outcome.segmenter.classes_.threshold), Image.from_array(image.read()[z]))
        assert np.array_equal(labels_of(outcome)[z] > 0, labels_of(alone) > 0)


def test_pixels_without_a_number_are_background_for_certain():
    pixels = sample_image("YX", "f4").read().copy()
    pixels[5:9, 6:20] = np.nan
    found = run(Otsu(), Image.from_array(pixels), probabilities=True).result
    assert not np.asarray(found.classes)[5:9, 6:20].any()
    assert np.array_equal(np.asarray(found.probabilities)[:, 5:9, 6:20].min(axis=(1, 2)), [1, 0])
    assert (np.asarray(found.sureness())[5:9, 6:20] == 65_535).all()


def test_probabilities_come_back_to_the_pixels_of_the_image():
    image = sample_image("ZYX", "u1", spacing=True)
    found = run(Otsu(), image, filters=[Resample()], probabilities=True).result
    assert found.probabilities.shape == (2, *image.grid.shape)
    chosen = np.asarray(found.probabilities).argmax(axis=0)
    assert (chosen == np.asarray(found.classes)).mean() > 0.99
