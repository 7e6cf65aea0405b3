import numpy as np
import pytest
from skimage import color, data
from skimage.filters import threshold_otsu

from segmentry import segment
from segmentry.errors import ParameterError
from segmentry.filters.lab import rgb_to_lab
from segmentry.image import Image
from segmentry.methods.kmeans import KMeans
from segmentry.methods.otsu import Otsu
from segmentry.methods.region_growing import RegionGrowing
from segmentry.methods.watershed import Watershed
from segmentry.run import run
from segmentry.testing import sample_image


@pytest.mark.parametrize("image", [data.coins(), data.camera(), data.page(), data.moon(), data.cell()])
def test_otsu_is_scikit_images_on_integers(image):
    found = segment(Image.from_array(image), "otsu")
    assert found.segmenter.threshold_.threshold == threshold_otsu(image)
    assert np.array_equal(found.result.classes, image > threshold_otsu(image))


def test_otsu_on_real_numbers_is_as_fine_as_the_histogram():
    image = data.coins() / 255 + np.random.default_rng(0).normal(0, 0.01, data.coins().shape)
    ours = segment(Image.from_array(image), "otsu").segmenter.threshold_.threshold
    assert ours == pytest.approx(threshold_otsu(image, nbins=65_536), abs=1e-3)


def test_dark_objects_are_found_when_said():
    image = Image.from_array(255 - data.coins())
    bright, dark = segment(Image.from_array(data.coins()), "otsu"), segment(image, "otsu", foreground="dark")
    assert (np.asarray(bright.result.classes) == np.asarray(dark.result.classes)).mean() > 0.99


def test_two_touching_discs_become_two_and_one_disc_stays_one():
    place = np.indices((60, 100))
    discs = [((place - np.array(c).reshape(2, 1, 1)) ** 2).sum(axis=0) < 18**2 for c in ((30, 30), (30, 62))]
    image = Image.from_array((discs[0] | discs[1]).astype(np.uint8) * 200)
    found = run(Watershed(sigma=0), image).instances
    assert len(found) == 2
    assert abs((np.asarray(found.labels) == 1).sum() - discs[0].sum()) < 30
    assert len(run(Watershed(sigma=0), Image.from_array(discs[0].astype(np.uint8) * 200)).instances) == 1


def test_necks_are_measured_in_true_distances():
    # Two balls that touch along Z: in pixels the volume is squeezed to a quarter along that axis.
    place = np.indices((16, 40, 40)) * np.array([4.0, 1, 1]).reshape(3, 1, 1, 1)
    balls = [((place - np.array([z, 20, 20]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 15**2 for z in (16, 44)]
    pixels = (balls[0] | balls[1]).astype(np.uint8) * 200
    found = run(Watershed(sigma=0, depth=2), Image.from_array(pixels, spacing=(4, 1, 1))).instances
    assert len(found) == 2


def test_lab_colours_are_those_of_scikit_image():
    rgb = data.immunohistochemistry()
    ours = np.moveaxis(rgb_to_lab(np.moveaxis(rgb, -1, 0), 255), 0, -1)
    assert ours == pytest.approx(color.rgb2lab(rgb), abs=0.01)


def test_kmeans_comes_to_rest_where_each_centre_is_the_mean_of_its_pixels():
    pixels = data.coins()
    found = segment(Image.from_array(pixels), "kmeans", n_classes=4)
    classes = np.asarray(found.result.classes)
    centres = [c[0] for c in found.segmenter.centres_]
    assert classes.max() == 3
    nearest = np.abs(pixels[..., None] - np.array(centres)).argmin(axis=-1)
    assert np.array_equal(nearest, classes)
    for k, centre in enumerate(centres):
        assert pixels[classes == k].mean() == pytest.approx(centre, abs=0.5)


def test_kmeans_tells_stains_apart():
    rgb = np.full((30, 30, 3), 240, np.uint8)
    rgb[5:12, 5:12] = (120, 60, 20)
    rgb[18:25, 18:25] = (60, 60, 160)
    found = segment(Image.from_array(rgb, "YXC"), "kmeans", background="brightest")
    classes = np.asarray(found.result.classes)
    assert classes[0, 0] == 0
    assert len({classes[0, 0], classes[8, 8], classes[20, 20]}) == 3
    assert (classes > 0).sum() == 2 * 49


def test_channels_of_unequal_range_count_alike():
    rng = np.random.default_rng(0)
    channels = np.stack([rng.normal(0, 1, (40, 40)), rng.normal(0, 1000, (40, 40))])
    channels[0, :20] += 30
    found = segment(Image.from_array(channels, "CYX"), "kmeans", n_classes=2)
    classes = np.asarray(found.result.classes)
    assert len(np.unique(classes[:20])) == len(np.unique(classes[20:])) == 1


def test_a_faint_object_beside_a_bright_one_gets_its_own_outline():
    pixels = np.full((40, 80), 10.0)
    pixels[10:30, 10:30] = 200
    pixels[10:30, 50:70] = 90
    found = segment(Image.from_array(pixels), "region_growing", sigma=0).instances
    assert len(found) == 2
    assert ((np.asarray(found.labels) > 0) == (pixels > 50)).all()


def test_given_seeds_grow_one_object_each():
    image = sample_image()
    found = run(RegionGrowing(seeds=((0, 0), (20, 20))), image).instances
    assert len(found) == 2


@pytest.mark.parametrize(
    "seeds", [((100, 1),), ((1,),), ((-1, 2),), ((1, 1), (1, 1))], ids=["outside", "flat", "negative", "twice"]
)
def test_impossible_seeds_are_refused(seeds):
    with pytest.raises(ParameterError, match="seeds"):
        run(RegionGrowing(seeds=seeds), sample_image())


def test_a_clear_object_is_surer_than_a_doubtful_one():
    pixels = np.random.default_rng(0).normal(10, 15, (40, 80))
    pixels[10:30, 10:30] += 100
    pixels[10:30, 50:70] += 55
    scores = {}
    for method in (Otsu(), Watershed(sigma=0)):
        found = run(method, Image.from_array(pixels)).instances
        labels = np.asarray(found.labels)
        by_id = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
        scores[method.name] = [by_id.get(int(labels[20, x]), 0.0) for x in (20, 60)]
    assert all(bright > faint for bright, faint in scores.values())


def test_the_seed_decides_the_sample_of_kmeans():
    image = Image.from_array(data.immunohistochemistry(), "YXC")
    one, again = (KMeans(seed=4).prepared(image).centres_ for _ in range(2))
    assert one == again


def test_a_region_does_not_climb_the_flank_of_its_neighbour():
    place = np.indices((60, 120))
    heights = ((60, 35, 200.0), (60, 85, 60.0))
    pixels = sum(h * np.exp(-((place[0] - 30) ** 2 + (place[1] - x) ** 2) / 200) for _, x, h in heights)
    found = segment(pixels, "region_growing", sigma=0, min_contrast=0.05).instances
    labels = np.asarray(found.labels)
    bright, faint = labels[30, 35], labels[30, 85]
    assert len(found) == 2
    assert bright != faint
    columns = np.nonzero(labels == faint)[1]
    assert columns.min() > 60
