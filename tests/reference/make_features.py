"""Record VIGRA's filters, called as ilastik calls them, at some places: python make_features.py features.npz

Needs VIGRA (1.11.1 was used, python3-vigra of Debian 12). The arrays: the images, and for each case the features of one
scale after the other at the places of a coarse lattice that takes in all edges.
"""

import math
import sys

import numpy as np
import vigra.filters as vf
from vigra import taggedView

#: Image, scales, size of a pixel along each axis.
CASES = {
    "plane": ("discs", (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0), (1.0, 1.0)),
    "stretched plane": ("discs", (0.7, 1.6, 3.5), (1.0, 3.0)),
    "volume": ("balls", (0.7, 1.0, 1.6, 3.5), (1.0, 1.0, 1.0)),
    "stretched volume": ("balls", (0.7, 1.6, 3.5), (2.5, 1.0, 1.0)),
}


def images():
    """Return a plane and a volume of bright discs in noise."""
    rng = np.random.default_rng(0)
    found = {}
    for name, shape in (("discs", (38, 45)), ("balls", (14, 17, 19))):
        places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
        centres = rng.uniform(0, shape, (6, len(shape)))
        distance = np.linalg.norm(places[..., None, :] - centres, axis=-1).min(-1)
        found[name] = (120 / (1 + np.exp(distance - 5)) + rng.integers(0, 60, shape)).astype(np.uint8)
    return found


def lattice(shape):
    """Return the indices along each axis that are kept."""
    return np.ix_(*([0, 1, n // 2, n - 2, n - 1] for n in shape))


def features(image, sigma, step):
    """Return all features of one scale, the structure tensor with the scales as ilastik's filters take them."""
    before = math.sqrt(sigma**2 - 1) if sigma > 1 else sigma
    smooth = vf.gaussianSmoothing(image, before, step_size=step, window_size=3.5)
    scale = min(sigma, 1.0)
    window = {"step_size": step, "window_size": 2.0}
    flat = vf.gaussianSmoothing(smooth, scale, **window)
    single = [
        flat,
        vf.laplacianOfGaussian(smooth, scale, **window),
        vf.gaussianGradientMagnitude(smooth, scale, **window),
        flat - vf.gaussianSmoothing(smooth, 0.66 * scale, **window),
    ]
    several = [
        vf.structureTensorEigenvalues(smooth, 0.5 * scale, scale, **window),
        vf.hessianOfGaussianEigenvalues(smooth, scale, **window),
    ]
    planes = [np.asarray(one) for one in single]
    return planes + [plane for values in several for plane in np.moveaxis(np.asarray(values), -1, 0)]


if __name__ == "__main__":
    seen = images()
    kept = dict(seen)
    for case, (name, sigmas, step) in CASES.items():
        pixels = seen[name]
        tagged = taggedView(pixels.astype(np.float32), "zyx"[-pixels.ndim :])
        planes = [plane[lattice(pixels.shape)] for sigma in sigmas for plane in features(tagged, sigma, step)]
        kept[case] = np.stack(planes).astype(np.float32)
    np.savez_compressed(sys.argv[1], **kept)
