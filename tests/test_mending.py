from typing import ClassVar

import numpy as np
import pytest
from pydantic import Field

from segmentry import catalog, workspace
from segmentry import run as run_module
from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.job import segment_file
from segmentry.methods.kmeans import KMeans
from segmentry.methods.otsu import Otsu
from segmentry.recipe import Recipe
from segmentry.result import Instances
from segmentry.run import run
from segmentry.step import Cleaner
from segmentry.testing import check_cleaner, sample_image

#: Cleaners with parameters that do something to the sample image, in an order in which each has something to do.
CHAIN = [
    ("split_necks", {"depth": 0.5}),
    ("drop_faint", {"min_contrast": 14.5}),
    ("merge_touching", {"min_contact": 0.3, "max_difference": 8}),
    ("expand_to_cells", {"distance": 3, "guided": True}),
    ("split_line", {"start": [10, 0], "end": [30, 55]}),
    ("smooth_boundaries", {"radius": 1.5}),
    ("keep_largest", {"number": 6}),
    ("shrink", {"distance": 1}),
]


def labels_of(outcome):
    return np.asarray(outcome.instances.labels[...])


def chain():
    return [catalog.make("cleaner", name, parameters) for name, parameters in CHAIN]


@pytest.mark.parametrize(("axes", "planes"), [("YX", False), ("TYX", False), ("TZYX", False), ("TZYX", True)])
def test_cleaning_in_tiles_equals_cleaning_the_whole(axes, planes):
    image = sample_image(axes, "u2", spacing=True)
    whole, tiled = (run(Otsu(), image, cleaners=chain(), planes=planes, tile=tile) for tile in (None, 13))
    assert labels_of(whole).any()
    assert np.array_equal(labels_of(whole), labels_of(tiled))
    assert np.array_equal(whole.instances.scores, tiled.instances.scores)
    assert whole.cleaners == tiled.cleaners


def test_each_cleaner_of_the_chain_does_something():
    image = sample_image(spacing=True)
    before = run(Otsu(), image)
    for number in range(1, len(CHAIN) + 1):
        after = run(Otsu(), image, cleaners=chain()[:number])
        assert not np.array_equal(labels_of(before), labels_of(after)), CHAIN[number - 1]
        before = after


def test_labels_on_disk_are_cleaned_as_those_in_memory(monkeypatch):
    image = sample_image("TZYX", "u2", spacing=True)
    memory = run(Otsu(), image, cleaners=chain())
    monkeypatch.setattr(workspace, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(run_module, "IN_MEMORY_VALUES", 0)
    assert np.array_equal(labels_of(memory), labels_of(run(Otsu(), image, cleaners=chain())))


def test_a_run_and_its_labels_cleaned_afterwards_agree():
    image = sample_image("TYX", spacing=True)
    cleaned = run(Otsu(), image).instances
    for step in chain():
        cleaned = step.apply(cleaned, image)
    assert np.array_equal(np.asarray(cleaned.labels), labels_of(run(Otsu(), image, cleaners=chain())))


def test_new_ids_count_over_all_time_points():
    labels = np.zeros((3, 5, 20), np.uint32)
    labels[:, 1:4, 1:4] = labels[:, 2, 8] = labels[1:, 2, 12] = 6
    labels[0, 4, 19] = 40
    after = catalog.make("cleaner", "split_fragments").apply(Instances.from_labels(labels, Grid("TYX", labels.shape)))
    assert after.ids.tolist() == [6, 40, 41, 42, 43, 44, 45]
    assert [frame[2, 8] for frame in after.labels] == [41, 42, 44]
    assert [frame[2, 12] for frame in after.labels] == [0, 43, 45]


def test_intensities_are_those_of_the_image_before_filters():
    image = sample_image(seed=1)
    filters = [catalog.make("filter", "normalise", {"low": 0, "high": 100})]
    step = catalog.make("cleaner", "drop_faint", {"min_contrast": 0, "min_mean": 75})
    plain, scaled = (run(Otsu(), image, filters=f, cleaners=[step]) for f in ([], filters))
    assert 0 < len(plain.instances) < len(run(Otsu(), image).instances)
    assert np.array_equal(labels_of(plain), labels_of(scaled))


def test_a_cleaner_may_look_at_another_channel_than_the_method():
    image = sample_image("CYX")
    named = Image(image.read(), image.grid, ("DAPI", "actin"))
    step = catalog.make("cleaner", "expand_to_cells", {"guided": True, "channel": "actin", "distance": 4})
    outcome = run(Otsu(), named, channel="DAPI", cleaners=[step])
    grown = labels_of(outcome)[labels_of(run(Otsu(), named, channel="DAPI")) == 0]
    level = outcome.cleaners[0].threshold_
    actin = named.channel("actin").read()[labels_of(run(Otsu(), named, channel="DAPI")) == 0]
    assert grown.any()
    assert (actin[grown > 0] > level).all()


def test_what_a_cleaner_learned_is_in_the_record(tmp_path):
    from segmentry.io import write

    path = write(tmp_path / "cells.tif", sample_image())
    text = "{segmentry: 1, method: otsu, cleaning: [expand_to_cells: {guided: true}]}"
    record = segment_file(path, tmp_path / "out", Recipe.parse(text))
    assert record["learned"]["expand_to_cells"]["threshold_"] > 0


def test_of_several_channels_one_must_be_chosen():
    image = sample_image("CYX")
    step = catalog.make("cleaner", "drop_faint")
    with pytest.raises(InputError, match="drop_faint measures one channel; the image has channel 0, channel 1: set"):
        run(KMeans(), image, cleaners=[step])
    assert len(run(KMeans(), image, cleaners=[catalog.make("cleaner", "drop_faint", {"channel": 1})]).instances)


class Brightest(Cleaner):
    """Keeps the brightest pixel of each object."""

    name: ClassVar[str] = "brightest"
    channel: str | int | None = Field(None, description="Channel that is measured.")

    def needs_image(self):
        return True

    def clean(self, instances, image=None):
        labels, pixels = np.asarray(instances.labels), image.read().astype(float)
        found = np.zeros_like(labels)
        for number in instances.ids:
            place = np.argmax(np.where(labels == number, pixels, -1))
            found.flat[place] = number
        return instances.with_labels(found, instances.ids)


def test_a_cleaner_of_ones_own_may_measure_and_keeps_all_promises():
    check_cleaner(Brightest())
