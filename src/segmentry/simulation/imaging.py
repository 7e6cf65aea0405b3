"""The microscope and its camera: from stain to light, and from light to grey values."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from segmentry.filters.stain_separation import COLOURS
from segmentry.simulation.layout import Room
from segmentry.simulation.scene import Scene
from segmentry.simulation.specimen import Specimen, blurred, clouds

__all__ = ["expose", "light_of"]

#: First dark ring of an Airy pattern, in standard deviations of the Gaussian nearest to it, and where it is cut off.
RING, CUT = 2.9, 3.0
#: Width of what is scattered, and size of clouds, in radii.
SCATTER, CLOUD = 4.0, 6.0
#: How softly cells end in the dark, in radii.
CREEP = 0.4
#: Pixels that are exposed at once.
BLOCK = 2**18
#: White of a section's background in red, green and blue.
WHITE = (0.98, 0.97, 0.98)


def light_of(scene: Scene, specimen: Specimen, room: Room, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Yield the light on the camera, on binned pixels, channel by channel; 1 is that of a nucleus or of white light."""
    centre = rng.uniform(0.25, 0.75, 2)
    if scene.kind == "histology":
        sources: Iterator[NDArray[np.float32]] = _section(scene, specimen, room, rng)
    elif scene.kind == "brightfield":
        sources = iter([_transmitted(scene, specimen, room, rng)])
    else:
        sources = iter([_emitted(scene, specimen, room, rng)])
    for light in sources:
        seen = _through(scene, light, room)
        seen *= _illumination(scene, room, centre)
        yield _binned(seen, scene.binning)


def expose(scene: Scene, light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.unsignedinteger]:
    """Return what the camera makes of light: photons are counted, electrons read, grey values cut off."""
    top = 2**scene.bit_depth - 1
    out = np.empty(light.shape, np.uint8 if scene.bit_depth == 8 else np.uint16)
    flat, into = light.reshape(-1), out.reshape(-1)
    for start in range(0, light.size, BLOCK):
        photons = flat[start : start + BLOCK].astype(np.float64) * scene.photons
        if scene.noise:
            noise = rng.poisson(photons) - photons + scene.read_noise * rng.normal(size=photons.shape)
            photons += scene.noise * noise
        into[start : start + BLOCK] = np.clip(np.rint(scene.offset * top + scene.gain * photons), 0, top)
    return out


def _emitted(scene: Scene, specimen: Specimen, room: Room, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the light that comes from each place of a stained specimen in the dark."""
    light = specimen.walls.astype(np.float32) if scene.kind == "membrane" else specimen.nuclei
    if scene.cytoplasm:
        cells = specimen.cells.astype(np.float32)
        blurred(cells, CREEP * scene.radius, room.steps)
        light += np.float32(scene.cytoplasm) * cells
    if scene.background:
        light += scene.background * _uneven(scene, room, rng)
    if scene.bleaching:
        depth = max(room.shape[0] - 1, 1)
        left = [math.pow(1 - scene.bleaching, z / depth) for z in range(room.shape[0])]
        light *= np.array(left, np.float32)[:, None, None]
    return light


def _uneven(scene: Scene, room: Room, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a background of mean 1."""
    if not scene.clouds:
        return np.ones(1, np.float32)
    return np.asarray(np.maximum(1 + scene.clouds * clouds(CLOUD * scene.radius, room, rng), 0), np.float32)


def _transmitted(scene: Scene, specimen: Specimen, room: Room, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the white light that unstained nuclei and cells let through, with the fringe that refraction makes."""
    density = scene.absorbance * (specimen.nuclei + np.float32(scene.cytoplasm) * specimen.cells)
    if scene.clouds:
        density += specimen.cells * (0.3 * scene.clouds * scene.cytoplasm) * clouds(scene.radius / 2, room, rng)
    light = np.exp(-math.log(10) * np.maximum(density, 0)).astype(np.float32)
    if scene.halo:
        narrow, wide = np.minimum(specimen.nuclei, 1), np.minimum(specimen.nuclei, 1)
        blurred(narrow, 0.1 * scene.radius, room.steps)
        blurred(wide, 0.3 * scene.radius, room.steps)
        light *= np.maximum(1 + scene.halo * (wide - narrow), 0)
    return light


def _section(scene: Scene, specimen: Specimen, room: Room, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Yield the red, green and blue light that a section stained with hematoxylin and eosin lets through."""
    tissue = _tissue(scene, specimen, room, rng)
    colours = np.array([COLOURS["hematoxylin"], COLOURS["eosin"]])
    colours = np.maximum(colours + rng.normal(0, scene.stain_shift, colours.shape), 0.02)
    colours /= np.sqrt((colours**2).sum(axis=1, keepdims=True))
    for channel in range(3):
        density = specimen.nuclei * np.float32(scene.absorbance * math.sqrt(3) * colours[0, channel])
        density += tissue * np.float32(scene.eosin * math.sqrt(3) * colours[1, channel])
        yield np.float32(WHITE[channel]) * np.exp(np.float32(-math.log(10)) * density)


def _tissue(scene: Scene, specimen: Specimen, room: Room, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return how much eosin there is: clouds, cells and wavy fibres between them."""
    from scipy.ndimage import map_coordinates

    loose = np.clip(0.35 + 0.25 * clouds(CLOUD * scene.radius, room, rng), 0, None)
    loose = loose + np.float32(scene.cytoplasm) * specimen.cells
    if not scene.fibres:
        return np.asarray(loose, np.float32)
    turn = rng.normal(size=2)
    turn /= math.sqrt((turn**2).sum())
    bow = clouds(8 * scene.radius, room, rng)[0] * np.float32(2 * scene.radius)
    y = ((np.arange(room.shape[1]) + 0.5) * room.steps[1]).astype(np.float32)[:, None]
    x = ((np.arange(room.shape[2]) + 0.5) * room.steps[2]).astype(np.float32)[None]
    across, along = turn[0] * y - turn[1] * x + bow, turn[1] * y + turn[0] * x
    tile = rng.normal(size=(256, 256)).astype(np.float32)
    fine = [across / (0.25 * scene.radius), along / (3 * scene.radius)]
    threads = 1 - np.abs(map_coordinates(tile, fine, order=1, mode="grid-wrap"))
    return np.asarray(loose * (1 + scene.fibres * np.clip(threads, -1, 1))[None], np.float32)


def _through(scene: Scene, light: NDArray[np.float32], room: Room) -> NDArray[np.float32]:
    """Return light as the optics show it: blurred by the image of a point, some of it scattered."""
    if scene.blur and scene.psf == "airy":
        light = _with_rings(light, scene.blur, room)
        blurred(light, np.array([scene.axial * scene.blur, 0, 0]), room.steps)
    elif scene.blur:
        blurred(light, scene.blur * np.array([scene.axial, 1, 1]), room.steps)
    if scene.haze:
        light = (1 - scene.haze) * light + scene.haze * _scattered(light, SCATTER * scene.radius, room)
    return np.asarray(light, np.float32)


def _with_rings(light: NDArray[np.float32], blur: float, room: Room) -> NDArray[np.float32]:
    """Return planes blurred by the diffraction pattern of a round lens (Airy 1835)."""
    from scipy.signal import oaconvolve
    from scipy.special import j1

    reach = [math.ceil(CUT * RING * blur / s) for s in room.steps[1:]]
    y, x = (np.arange(-r, r + 1) * s for r, s in zip(reach, room.steps[1:], strict=True))
    far = np.hypot(y[:, None], x[None]) * (3.8317059702 / (RING * blur))
    near = far < 1e-6
    pattern = np.where(near, 1.0, (2 * j1(far) / np.where(near, 1.0, far)) ** 2)
    pattern = (pattern / pattern.sum()).astype(np.float32)
    out = np.empty_like(light)
    for plane, into in zip(light, out, strict=True):
        wide = np.pad(plane, [(r, r) for r in reach], mode="symmetric")
        into[:] = np.maximum(oaconvolve(wide, pattern, mode="valid"), 0)
    return out


def _scattered(light: NDArray[np.float32], sigma: float, room: Room) -> NDArray[np.float32]:
    """Return light blurred so widely that three running means do."""
    from scipy.ndimage import uniform_filter

    sizes = [
        1 if n == 1 else max(1, min(2 * n, round(math.sqrt(4 * (sigma / s) ** 2 + 1))))
        for n, s in zip(light.shape, room.steps, strict=True)
    ]
    for _ in range(3):
        light = uniform_filter(light, sizes)
    return light


def _illumination(scene: Scene, room: Room, centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of light (Y, X), which falls with the square of the distance from a place."""
    size = room.lengths[1:]
    y = (np.arange(room.shape[1]) + 0.5) * room.steps[1] - centre[0] * size[0]
    x = (np.arange(room.shape[2]) + 0.5) * room.steps[2] - centre[1] * size[1]
    farthest = (np.maximum(centre, 1 - centre) * size) ** 2
    share = (y[:, None] ** 2 + x[None] ** 2) / farthest.sum()
    return np.asarray(1 - scene.illumination * share, np.float32)


def _binned(light: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return the mean of blocks of pixels."""
    if size == 1:
        return light
    depth, height, width = light.shape
    blocks = light.reshape(depth, height // size, size, width // size, size)
    mean: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float64).astype(np.float32)
    return mean
