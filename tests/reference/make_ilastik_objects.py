"""Record features of objects as ilastik takes them from VIGRA, and forests that know objects by them.

python make_ilastik_objects.py ilastik_objects.npz ilastik_objects.h5.gz FOLDER ...

Needs VIGRA's Python module and h5py (1.11.1 and 3.7 were used, as of Debian 12). That module lacks the features of
convex hulls, which are computed by VIGRA's headers: it takes g++, and the folders of the headers of VIGRA and LEMON.

For each case the arrays of the first file are: the image (channels first) and the labels, and by each name of ilastik's
the columns that its classifier sees, a row per object. The first channel of the case "project" is bright in its
objects. The second file has two forests as VIGRA writes them: one tells these bright pixels from others, by both
channels; the other knows three kinds of the objects by the features that are listed, and its probabilities of them.

The case "smooth" has probabilities, and what ilastik makes of them before it looks for objects, by
sigmas along Y and X.
"""

import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import vigra

#: Shape, channels, margin of the neighbourhood along X, Y (and Z).
CASES = {
    "plane": ((44, 50), 1, (5, 5)),
    "colour": ((36, 41), 3, (3, 7)),
    "volume": ((11, 23, 25), 1, (4, 3, 1)),
    "channels": ((9, 20, 22), 2, (3, 3, 0)),
}
#: What the forest of objects looks at, in the order of ilastik.
SEEN = (
    *(("2D Convex Hull Features", name) for name in ("Convexity", "DefectCenter", "DefectCount")),
    *(
        ("Standard Object Features", name)
        for name in (
            *("Coord<Maximum>", "Coord<Principal<Kurtosis>>", "Count", "Covariance", "Kurtosis", "Mean"),
            *("Mean in neighborhood", "Principal<Skewness>", "RegionAxes", "RegionRadii", "Skewness in neighborhood"),
        )
    ),
)
NEAR = ("Mean", "Variance", "Skewness", "Kurtosis", "Histogram", "Covariance", "Minimum", "Maximum", "Sum")
HULLS = r"""
#include <cstdio>
#include <cstdlib>
#include <vigra/multi_array.hxx>
#include <vigra/accumulator.hxx>
using namespace vigra;
using namespace vigra::acc;
template <class V> void all(V const & v) { for(auto x : v) printf(" %.17g", x); }
template <unsigned N> void run(char ** sizes)
{
    typename MultiArrayShape<N>::type shape;
    for(unsigned i = 0; i < N; ++i) shape[i] = atol(sizes[i]);
    MultiArray<N, unsigned int> labels(shape);
    if(fread(labels.data(), 4, labels.size(), stdin) != (size_t)labels.size()) exit(1);
    AccumulatorChainArray<CoupledArrays<N, unsigned int>, Select<LabelArg<1>, ConvexHullFeatures> > found;
    found.ignoreLabel(0);
    extractFeatures(labels, found);
    for(int k = 1; k <= (int)found.maxRegionLabel(); ++k)
    {
        auto & hull = getAccumulator<ConvexHullFeatures>(found, k);
        hull.finalize();
        all(hull.inputCenter()); all(hull.hullCenter()); all(hull.defectCenter());
        printf(" %d %d %.17g %d %.17g %.17g %.17g %.17g %.17g\n", hull.inputVolume(), hull.hullVolume(),
               hull.convexity(), hull.defectCount(), hull.defectDisplacementMean(), hull.defectVolumeMean(),
               hull.defectVolumeVariance(), hull.defectVolumeSkewness(), hull.defectVolumeKurtosis());
    }
}
int main(int, char ** words) { words[1][0] == '2' ? run<2>(words + 2) : run<3>(words + 2); }
"""
VECTORS = ("InputCenter", "HullCenter", "DefectCenter")
NUMBERS = (
    *("InputVolume", "HullVolume", "Convexity", "DefectCount", "DefectDisplacementMean"),
    *("DefectVolumeMean", "DefectVolumeVariance", "DefectVolumeSkewness", "DefectVolumeKurtosis"),
)


def scene(shape, channels, seed):
    """Return an image of whole numbers, some 0, and labels: discs that touch, single pixels, lines and squares."""
    random = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    centres = random.uniform(2, np.array(shape) - 2, (9, len(shape)))
    distance = np.linalg.norm(places[..., None, :] - centres, axis=-1) + random.normal(0, 0.8, (*shape, 9))
    labels = np.where(distance.min(-1) < 4, distance.argmin(-1) + 1, 0)
    at = tuple(n // 2 for n in shape[:-2])
    for number, (rows, columns) in enumerate(
        ((1, 1), (slice(3, 5), slice(1, 3)), (slice(1, 2), slice(5, 11)), ([8, 9, 10, 11], [1, 2, 3, 4])), 10
    ):
        labels[(*at, rows, columns)] = number
    labels = np.unique(labels, return_inverse=True)[1].reshape(shape)
    image = (
        random.poisson(20 + 40 * (labels > 0) + 3 * labels, (channels, *shape))
        + 7 * np.arange(channels)[(slice(None),) + (None,) * len(shape)]
    )
    return np.where(random.random(image.shape) < 0.03, 0, image).astype(np.uint8), labels.astype(np.uint8)


def tagged(image, labels):
    """Return an image and labels as ilastik has them: X first, channels last, one channel of a plane left out."""
    axes = "xyz"[: labels.ndim]
    turned = image.T
    if labels.ndim == 2 and len(image) == 1:
        turned = turned[..., 0]
    return vigra.taggedView(turned.astype(np.float32), axes + "c" * (turned.ndim - labels.ndim)), vigra.taggedView(
        labels.T.astype(np.uint32), axes
    )


def region_features(image, labels, names=None):
    """Return VIGRA's features of each object by name without blanks, two-dimensional."""
    names = names or [name.replace(" ", "") for name in vigra.analysis.supportedRegionFeatures(image, labels)]
    with np.errstate(all="ignore"):
        found = vigra.analysis.extractRegionFeatures(image, labels, names, ignoreLabel=0)
    n = int(labels.max()) + 1
    columns = {}
    for name in names:
        value = np.asarray(found[name], np.float64)
        columns[name] = np.full((n - 1, 1), value) if value.ndim == 0 else value[1:].reshape(n - 1, -1)
    if "Coord<Maximum>" in columns:
        columns["Coord<Maximum>"] += 1
    return columns


def near_features(image, labels, margin):
    """Return VIGRA's features of what surrounds each object."""
    largest = np.float32(max(margin))
    with np.errstate(divide="ignore"):
        pitch = (largest // np.array(margin)).astype(np.float64)
    found = {}
    for number in range(1, int(labels.max()) + 1):
        inside = np.argwhere(labels == number)
        low = np.maximum(inside.min(0) - margin, 0)
        high = np.minimum(inside.max(0) + 2 + margin, labels.shape)
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        own = np.asarray(labels[window]) == number
        distance = vigra.filters.distanceTransform(own.astype(np.float32), background=True, pixel_pitch=pitch)
        ring = vigra.taggedView(((np.asarray(distance) < largest) ^ own).astype(np.uint32), labels.axistags)
        names = [
            n for n in NEAR if n in {s.replace(" ", "") for s in vigra.analysis.supportedRegionFeatures(image, labels)}
        ]
        for name, value in region_features(image[window], ring, names).items():
            found.setdefault(f"{name} in neighborhood", []).append(value[0])
    return {name: np.stack(rows) for name, rows in found.items()}


def hull_features(labels, program):
    """Return what VIGRA's headers compute of convex hulls."""
    words = [program, str(labels.ndim), *map(str, labels.shape[::-1])]
    done = subprocess.run(words, input=labels.astype(np.uint32).tobytes(), capture_output=True, check=True)
    rows = np.array([[float(word) for word in line.split()] for line in done.stdout.decode().splitlines()])
    d = labels.ndim
    found = {name: rows[:, i * d : i * d + d] for i, name in enumerate(VECTORS)}
    found |= {name: rows[:, 3 * d + i : 3 * d + i + 1] for i, name in enumerate(NUMBERS)}
    found["DefectCenter"] = np.where(found["DefectCount"] > 0, found["DefectCenter"], 0)  # left to chance
    return found


def bright(shape, seed):
    """Return an image of two channels, the first bright in objects, and these, of 3 pixels or more."""
    random = np.random.default_rng(seed)
    image, labels = scene(shape, 2, seed)
    mask = (labels > 0) ^ (random.random(shape) < 0.06)
    parts = np.asarray(vigra.analysis.labelImageWithBackground(mask.astype(np.uint8), neighborhood=4))
    ids, first, sizes = np.unique(parts, return_index=True, return_counts=True)
    kept = [i for _, i, n in sorted(zip(first, ids, sizes, strict=True)) if i and n >= 3]
    order = np.zeros(ids.max() + 1, np.uint8)
    order[kept] = np.arange(1, len(kept) + 1)
    image[0] = 200 * mask
    return image, order[parts]


def train(path, group, samples, classes, **options):
    """Train a forest, write it, and return what it predicts of its samples."""
    forest = vigra.learning.RandomForest(**options)
    forest.learnRF(np.float32(samples), np.uint32(classes)[:, np.newaxis], 1)
    forest.writeHDF5(path, group)
    return forest.predictProbabilities(np.float32(samples))


def forests(path, arrays, name="project"):
    """Write the forests of pixels and of objects."""
    random = np.random.default_rng(3)
    two = np.concatenate([random.uniform(0, 12, 40), random.uniform(185, 200, 40)])
    train(path, "pixels/forest", np.stack([two, random.uniform(0, 255, 80)], 1), two // 100 + 1, treeCount=4, mtry=2)
    table = np.concatenate([arrays[f"{name}/{feature}"] for _, feature in SEEN], axis=1)
    table = np.where(np.isfinite(table), table, 0)
    chance = train(path, "objects/forest", table, random.integers(1, 4, len(table)), treeCount=12)
    with h5py.File(path, "a") as file:
        file["objects/probabilities"] = chance
        file["objects/groups"], file["objects/names"] = zip(*SEEN, strict=True)


def all_features(image, labels, margin, program):
    """Return the arrays of a case."""
    seen = tagged(image, labels)
    found = region_features(*seen) | near_features(*seen, margin) | hull_features(labels, program)
    first = {"image": image, "labels": labels, "margin": np.array(margin)}
    return first | {name: np.float32(values) for name, values in found.items()}


if __name__ == "__main__":
    arrays = {}
    with tempfile.TemporaryDirectory() as folder:
        source, program, store = (str(Path(folder) / name) for name in ("hulls.cxx", "hulls", "forests.h5"))
        Path(source).write_text(HULLS)
        places = [f"-I{place}" for place in sys.argv[3:]]
        subprocess.run(["g++", "-std=c++14", "-O2", "-w", "-DWITH_LEMON", *places, source, "-o", program], check=True)
        cases = {case: (*scene(shape, n, i), margin) for i, (case, (shape, n, margin)) in enumerate(CASES.items())}
        cases["project"] = (*bright((60, 70), 9), (4, 4))
        for case, about in cases.items():
            arrays |= {f"{case}/{name}": values for name, values in all_features(*about, program).items()}
        arrays["smooth/image"] = np.random.default_rng(4).random((19, 23)).astype(np.float32)
        for sigmas in ((1.0, 1.0), (0.2, 1.3), (3.0, 0.7)):
            found = vigra.filters.gaussianSmoothing(arrays["smooth/image"], sigmas, window_size=2.0)
            arrays[f"smooth/{sigmas[0]} {sigmas[1]}"] = np.asarray(found)
        forests(store, arrays)
        Path(sys.argv[2]).write_bytes(gzip.compress(Path(store).read_bytes(), 9, mtime=0))
    np.savez_compressed(sys.argv[1], **arrays)
