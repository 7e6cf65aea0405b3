"""Reads damaged and hostile files of every format, in a process of bounded memory: run by test_fuzz.

Prints one line of JSON per sample: how many attempts were made, which broke the promise of ``io.read`` and how, and the
largest memory so far.
"""

import contextlib
import faulthandler
import itertools
import json
import resource
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
from bombs import BOMBS
from test_dicom import planes, series
from test_vendors import DEPTH, TIME, leica_image, numbers, put_czi, put_lif, put_nd2, put_oif

from segmentry.errors import OutputError, SegmentryError
from segmentry.image import Grid, Image
from segmentry.io import formats, read, read_labels, write, write_labels
from segmentry.result import Instances

ADDRESS_SPACE = 4 * 2**30
SECONDS = 2.0
HANGS = 60.0
MESSAGE = 600
PIXELS = 10**8


def samples(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write a small valid file of each kind and suffix of each format; a folder for those that are one."""
    random = np.random.default_rng(0)
    flat = Image.from_array(random.integers(0, 255, (23, 31)).astype(np.uint8), spacing=(0.5, 0.25))
    deep = Image.from_array(random.random((2, 3, 11, 13), np.float32), "CZYX", spacing=(2, 0.5, 0.5), channels="ab")
    labels = np.zeros((23, 31), np.uint32)
    labels[3:9, 4:12], labels[12:20, 14:30] = 7, 2**32 - 1
    objects = Instances.from_labels(labels, Grid("YX", labels.shape, (0.5, 0.25), "um"))
    for form in formats():
        for kind, suffix in itertools.product(sorted(form.writes), form.suffixes):
            name = f"{form.name.replace(' ', '-')}-{kind}{suffix}"
            for much in (True, False):
                path = folder / (f"much-{name}" if much else name)
                with contextlib.suppress(OutputError):  # a format of planes, or of one object
                    if kind == "image":
                        yield path.name, write(path, deep if much else flat)
                    else:
                        one = objects.keep(np.array([True, False]))
                        yield path.name, write_labels(path, objects if much else one, provenance={"method": "otsu"})
    yield from read_only_samples(folder)


def read_only_samples(folder: Path) -> Iterator[tuple[str, Path]]:
    with zipfile.ZipFile(folder / "ImageJ-ROI-labels.zip") as archive:
        roi = next(name for name in archive.namelist() if name.endswith(".roi"))
        (folder / "imagej.roi").write_bytes(archive.read(roi))
        yield "imagej.roi", folder / "imagej.roi"
    for suffix in (".jpg", ".bmp", ".webp", ".gif"):
        PIL.Image.fromarray(numbers(23, 31, dtype="u1")).save(folder / f"pillow{suffix}")
        yield f"pillow{suffix}", folder / f"pillow{suffix}"
    series(folder / "dicom", planes(3), [(0, 0, z) for z in range(3)])
    yield "dicom-series", folder / "dicom"
    yield "dicom.dcm", folder / "dicom" / "00.dcm"
    put_nd2(folder / "nikon.nd2", numbers(6, 9, 8, 2), [TIME, DEPTH], ["DAPI", "GFP"])
    yield "nikon.nd2", folder / "nikon.nd2"
    xml = leica_image("cells", {"X": 8, "Y": 9, "Z": 3}, ["Green", "Red"], {"X": 1e-6, "Y": 1e-6, "Z": 1e-6}, 2, "m1")
    put_lif(folder / "leica.lif", xml, {"m1": numbers(3, 2, 9, 8).tobytes()})
    yield "leica.lif", folder / "leica.lif"
    put_czi(folder / "zeiss.czi", "ZYX", [((z, 0, 0), numbers(1, 9, 8)) for z in range(3)], packing=5)
    yield "zeiss.czi", folder / "zeiss.czi"
    put_oif(folder / "olympus.oif", numbers(3, 9, 8), "Z", {"X": 8, "Y": 9, "Z": 3})
    yield "olympus.oif", folder / "olympus.oif"


def damaged(raw: bytes, random: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Give a file's bytes damaged in many ways, with a name for each."""
    size = len(raw)
    for length in {0, 1, 4, 13, 100, 350, size // 2, size - 8, size - 1, *random.integers(0, size, 6).tolist()}:
        if 0 <= length < size:
            yield f"cut to {length} bytes", raw[:length]
    for count, reach in [(1, size), (2, size), (5, size), (20, size), (50, size)] * 2 + [(1, 600), (3, 600)] * 6:
        part = bytearray(raw)
        for place in random.integers(0, min(size, reach), count):
            part[place] ^= int(random.integers(1, 256))
        yield f"{count} bytes of the first {reach} changed", bytes(part)
    for _ in range(5):
        start, length = random.integers(0, size), int(random.integers(1, 64))
        yield f"{length} zeros at {start}", (raw[:start] + bytes(length) + raw[start + length :])[:size]
    for length in (1, 100, 5000):
        yield f"{length} bytes of garbage at the end", raw + random.bytes(length)
    yield "text", b"This is not an image.\n"


def attempt(use: Callable[[], object]) -> str | None:
    """Return how a reading breaks the promise, ``None`` where it works or says clearly why not."""
    start = time.process_time()
    # a decoder may go round for ever where no exception reaches it
    faulthandler.dump_traceback_later(HANGS, exit=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            use()
        except SegmentryError as error:
            if "\n" in str(error) or not 0 < len(str(error)) < MESSAGE:
                return f"message of {len(str(error))} characters: {error}"
        except Exception as error:
            return f"{type(error).__name__} {''.join(traceback.format_exception(error)[-3:])}"
    if time.process_time() - start > SECONDS:
        return f"took {time.process_time() - start:.1f} s"
    return f"warns: {said[0].message}" if said else None


def read_all(path: Path) -> None:
    image = read(path)
    if image.grid.size >= PIXELS:
        return
    image.read()


def check(path: Path) -> dict[str, str]:
    """Return what breaks the promise for one file."""
    found = {"read": attempt(lambda: read_all(path)), "read_labels": attempt(lambda: read_labels(path))}
    return {what: problem for what, problem in found.items() if problem}


def fuzz(name: str, path: Path, seed: int) -> tuple[int, list[dict[str, str]]]:
    """Damage a sample in many ways, one file of it at a time where it is a folder, and read it each time."""
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    intact = {file: file.read_bytes() for file in files}
    problems = [{"change": "none", **check(path)}]
    for first, (file, raw) in enumerate(intact.items()):
        # of each file in a folder its share of the changes
        for change, content in itertools.islice(damaged(raw, random), first % len(intact), None, len(intact)):
            file.write_bytes(content)
            problems.append({"change": f"{file.name}: {change}", **check(path)})
        file.write_bytes(raw)
    return len(problems), [p for p in problems if len(p) > 1]


def swap_suffixes(paths: list[Path], folder: Path) -> tuple[int, list[dict[str, str]]]:
    """Read every file under the suffix of another."""
    problems = []
    single = [path for path in paths if path.is_file()]
    for path, other in zip(single, single[1:] + single[:1], strict=True):
        place = folder / f"swapped-{path.stem}{other.suffix}"
        place.write_bytes(path.read_bytes())
        problems.append({"change": f"{path.name} as {other.suffix}", **check(place)})
    return len(problems), [p for p in problems if len(p) > 1]


def main(seed: int) -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))

    def report(name: str, result: tuple[int, list[dict[str, str]]]) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"sample": name, "attempts": result[0], "problems": result[1], "peak": peak}), flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = list(samples(folder))
        for name, path in made:
            # intact, each can be read; this also imports every library, which would be counted as time below
            assert attempt(lambda path=path: read_labels(path)) is None, name
            assert "-labels" in name or name == "imagej.roi" or read(path).read().size, name
        report("start", (0, []))
        report("swapped suffixes", swap_suffixes([path for _, path in made], folder))
        for name, path in made:
            report(name, fuzz(name, path, seed))
        for make in BOMBS:
            found = check(make(folder))
            report(make.__name__, (1, [{"change": "bomb", **found}] if found else []))


if __name__ == "__main__":
    main(int(sys.argv[1]))
