import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from array_images import SHARED, assert_damage_is_one_line, assert_same, assert_written_alike_twice, images, objects
from hypothesis import assume, given, settings

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid, Image
from segmentry.io import read, read_labels, read_provenance, write, write_labels
from segmentry.result import Instances

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (20, 30), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def channels_first(data):
    return np.moveaxis(data, -1, 0)


@settings(max_examples=25, deadline=None)
@given(image=images(types=("bool", "u1", "u2"), among="C"))
def test_png_keeps_everything_of_an_image(tmp_path_factory, image):
    count = image.grid.length("C")
    assume(count != 2 and (count == 1 or image.dtype != bool))
    path = tmp_path_factory.mktemp("raster") / "image.png"
    write(path, image)
    assert_same(read(path), image)
    with PIL.Image.open(path) as picture:
        assert picture.size == image.grid.shape[:-3:-1]
    seen = imagecodecs.png_decode(path.read_bytes())
    if image.dtype != bool:
        plane = image.read().reshape(count, *image.grid.shape[-2:])
        np.testing.assert_array_equal(seen.reshape(*plane.shape[1:], count), np.moveaxis(plane, 0, -1))


@settings(max_examples=25, deadline=None)
@given(labels=objects(largest=65_535, among=""))
def test_png_keeps_ids(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("raster") / "labels.png"
    write_labels(path, labels, provenance={"method": "otsu"})
    again = read_labels(path)
    np.testing.assert_array_equal(again.labels, labels.labels)
    assert again.grid == labels.grid
    assert read_provenance(path) == {"method": "otsu"}
    with PIL.Image.open(path) as picture:
        np.testing.assert_array_equal(np.array(picture), labels.labels)


def test_png_shows_the_pixel_size_to_others(tmp_path):
    write(tmp_path / "a.png", Image.from_array(GREY, spacing=(0.5, 0.5)))
    with PIL.Image.open(tmp_path / "a.png") as picture:
        assert picture.info["dpi"] == pytest.approx((50_800, 50_800))


def test_png_is_written_alike_twice(tmp_path):
    assert_written_alike_twice(tmp_path, ".png", Image.from_array(GREY, spacing=(0.5, 0.5)))


def test_refuses_ids_that_16_bits_can_not_hold(tmp_path):
    labels = Instances.from_labels(np.array([[0, 7], [65_536, 70_000]]))
    with pytest.raises(
        OutputError, match=r"up to 65,535; the largest of these 3 objects is 70,000: save as \.ome\.tif"
    ):
        write_labels(tmp_path / "a.png", labels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (Image(np.zeros((2, 3, 4), np.uint8), Grid("ZYX", (2, 3, 4))), "one plane, not ZYX"),
        (Image(np.zeros((2, 3, 4), np.uint8), Grid("TYX", (2, 3, 4))), "one plane, not TYX"),
        (Image(np.zeros((2, 3, 4), np.uint8), Grid("CYX", (2, 3, 4))), "1, 3 or 4 channels, not 2"),
        (Image(np.zeros((3, 3, 4), bool), Grid("CYX", (3, 3, 4))), "bool in colour"),
        (Image(np.zeros((3, 4), np.float32), Grid("YX", (3, 4))), "no pixels of type float32"),
    ],
)
def test_refuses_what_png_can_not_hold(tmp_path, image, what):
    with pytest.raises(OutputError, match=what):
        write(tmp_path / "a.png", image)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".webp", ".gif"])
def test_does_not_write_what_loses_something(tmp_path, suffix):
    with pytest.raises(OutputError, match="no format that writes image has this suffix"):
        write(tmp_path / f"a{suffix}", Image.from_array(GREY))


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_reads_16_bits_of_every_channel(tmp_path, samples):
    data = rng.integers(0, 65_536, (20, 30, samples), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    image = read(tmp_path / "a.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image.data, data[..., 0] if samples == 1 else channels_first(data))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_reads_what_pillow_reads(tmp_path, suffix):
    PIL.Image.fromarray(COLOUR).save(tmp_path / f"a{suffix}")
    image = read(tmp_path / f"a{suffix}")
    assert image.grid == Grid("CYX", (3, 20, 30))
    assert image.channels == ("red", "green", "blue")
    with PIL.Image.open(tmp_path / f"a{suffix}") as picture:
        np.testing.assert_array_equal(image.data, channels_first(np.array(picture)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif"])
def test_grey_has_no_channels(tmp_path, suffix):
    PIL.Image.fromarray(GREY).save(tmp_path / f"a{suffix}")
    assert read(tmp_path / f"a{suffix}").grid == Grid("YX", (20, 30))


@pytest.mark.parametrize(("mode", "channels"), [("LA", ("grey", "alpha")), ("RGBA", ("red", "green", "blue", "alpha"))])
def test_transparency_is_a_channel_unless_it_says_nothing(tmp_path, mode, channels):
    picture = PIL.Image.fromarray(COLOUR).convert(mode)
    picture.save(tmp_path / "opaque.png")
    picture.putalpha(PIL.Image.fromarray(GREY))
    picture.save(tmp_path / "clear.png")
    assert read(tmp_path / "opaque.png").channels == (channels[:-1] if len(channels) > 2 else ())
    image = read(tmp_path / "clear.png")
    assert image.channels == channels
    np.testing.assert_array_equal(image.channel("alpha").data, GREY)


def test_a_palette_is_colour_for_images_and_ids_for_labels(tmp_path):
    picture = PIL.Image.fromarray(GREY % 5).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png").data, channels_first(np.array(picture.convert("RGB"))))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png").labels, GREY % 5)


def test_colours_are_no_ids(tmp_path):
    PIL.Image.fromarray(COLOUR).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png is in colour: labels have one id per pixel"):
        read_labels(tmp_path / "a.png")


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_upright(tmp_path, turn):
    exif = PIL.Image.Exif()
    exif[0x0112] = turn
    for name, data in (("a.jpg", GREY), ("a.png", COLOUR)):
        PIL.Image.fromarray(data).save(tmp_path / name, exif=exif)
        with PIL.Image.open(tmp_path / name) as picture:
            upright = np.array(PIL.ImageOps.exif_transpose(picture))
        np.testing.assert_array_equal(
            read(tmp_path / name).data, upright if upright.ndim == 2 else channels_first(upright)
        )


@pytest.mark.parametrize(("dpi", "spacing"), [(96, None), (300, None), (1200, None), (25_400, (1.0, 1.0))])
def test_print_resolution_is_no_pixel_size(tmp_path, dpi, spacing):
    PIL.Image.fromarray(GREY).save(tmp_path / "a.png", dpi=(dpi, dpi))
    assert read(tmp_path / "a.png").grid.spacing == spacing


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_refuses_animations(tmp_path, suffix):
    frames = [PIL.Image.fromarray(plane) for plane in (GREY, 255 - GREY, GREY // 2)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="is an animation of 3 pictures: save it as a TIFF stack"):
        read(tmp_path / f"a{suffix}")


def test_reads_pictures_of_any_size_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
    PIL.Image.fromarray(COLOUR).save(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").grid.shape == (3, 20, 30)


@pytest.mark.parametrize("data", [GREY, COLOUR, GREY > 9, np.dstack([COLOUR.astype(np.uint16) * 257] * 1)])
def test_damaged_pngs_are_refused_quietly(tmp_path, capfd, data):
    if data.dtype == np.uint16:
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    else:
        PIL.Image.fromarray(data).save(tmp_path / "a.png")
    assert_damage_is_one_line(tmp_path / "a.png", capfd)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".webp", ".gif"])
def test_damaged_pictures_are_refused_quietly(tmp_path, capfd, suffix):
    PIL.Image.fromarray(COLOUR).save(tmp_path / f"a{suffix}")
    assert_damage_is_one_line(tmp_path / f"a{suffix}", capfd)


def test_refuses_claims_that_the_file_can_not_hold(tmp_path):
    PIL.Image.fromarray(GREY).save(tmp_path / "a.bmp")
    content = bytearray((tmp_path / "a.bmp").read_bytes())
    content[18:26] = (60_000).to_bytes(4, "little") * 2
    (tmp_path / "a.bmp").write_bytes(content)
    with pytest.raises(InputError, match="claims 18 GB"):
        read(tmp_path / "a.bmp")


@pytest.mark.parametrize("mode", ["1", "P"])
def test_large_masks_of_one_bit_are_no_false_claims(tmp_path, mode):
    picture = PIL.Image.new("1", (9000, 9000)).convert(mode)
    picture.save(tmp_path / "a.png", bits=1)
    assert (tmp_path / "a.png").stat().st_size < 20_000
    assert read(tmp_path / "a.png").grid == Grid("YX", (9000, 9000))


def test_reads_files_of_others():
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not here")
    first = sorted((SHARED / "dsb2018" / "masks").glob("*.png"))[0]
    assert len(read_labels(first)) == 27
    assert read(SHARED / "isbi2012" / "images" / "0.png").grid == Grid("YX", (512, 512))
    assert read(SHARED / "ilastik" / "Data_1channel.png").grid.spacing is None
