"""Record what StarDist tells of images, and what it makes of labels and of maps.

python make_stardist.py FOLDER

Needs stardist and TensorFlow (0.9.2 and 2.21 were used). It writes ``stardist.npz``, ``stardist2d.zip`` and
``stardist3d.zip`` to the folder.

The two zip files are models as StarDist keeps them, of few filters and trained on discs and balls for some steps. The
weights are there as StarDist saves them (``weights_best.h5``); in the plane also in the format that Keras 3 has by
itself (``weights_last.weights.h5``). Their arrays are, for ``plane`` and ``volume``: ``.image``; ``.outputs`` (score of
the probability, distances), channels first; ``.labels``, ``.points`` and ``.probability`` of ``predict_instances``.

Each network of ``NETWORKS`` is given weights by :func:`weight`, and the image of :func:`image`. ``NAME.outputs`` is
what it tells, channels first, with the scores (not the probabilities) of objects and classes.

``flat`` is a plane of crowded objects and ``deep`` a volume; 32 rays, and 96 for an anisotropy of (2, 1, 1):

- ``.labels``: ids of objects.
- ``.at``: some pixels; ``.distances`` and ``.depth``: what ``star_dist`` and ``edt_prob`` give there.
- ``.grid_depth`` and ``.grid_distances``: the same on the grid (2, 2) or (1, 2, 2), at ``.at`` // grid.
- ``.rays`` and ``.triangles``: of the volume, ``Rays_GoldenSpiral(96, anisotropy=(2, 1, 1))``.
- ``.probability``: a map like a network's, on the grid, in 65536ths and no two alike; ``.lengths``: distances where it
  is above ``FLOOR``, in raster order, in eighths of a pixel, to which a sixteenth is added. Elsewhere they are 0.001.
- ``.kept``: the points that non-maximum suppression keeps at a probability above 0.5 and an overlap of 0.4, the
  likeliest first; ``.drawn``: the labels that they are drawn as. ``.kept_03`` and ``.kept_05``: for other overlaps.
"""

import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}

import numpy as np
from stardist import Rays_GoldenSpiral, edt_prob, star_dist, star_dist3D
from stardist.geometry import polygons_to_label, polyhedron_to_label
from stardist.models import Config2D, Config3D, StarDist2D, StarDist3D
from stardist.nms import non_maximum_suppression, non_maximum_suppression_3d

UNET = {"unet_n_filter_base": 8, "net_conv_after_unet": 16}
NETWORKS = {
    "plain": ((24, 16), Config2D, {"n_rays": 32, **UNET}),
    "classes": (
        *((32, 48), Config2D),
        {"n_rays": 16, "grid": (2, 2), "n_channel_in": 2, "n_classes": 3, "unet_batch_norm": True, **UNET},
    ),
    "odd": (
        *((16, 64), Config2D),
        {
            **{"n_rays": 8, "grid": (2, 4), "unet_n_depth": 2, "unet_pool": (1, 2), "unet_kernel_size": (5, 3)},
            **{"unet_n_conv_per_depth": 3, "unet_last_activation": "linear", "unet_activation": "elu"},
            **{"unet_expansion": 1.5, "unet_n_filter_base": 5, "net_conv_after_unet": 0, "n_classes": 1},
            **{"unet_prefix": "net"},
        },
    ),
    "volume_unet": ((4, 16, 24), Config3D, {"rays": 32, "grid": (1, 2, 2), "unet_pool": (1, 2, 2), **UNET}),
    "volume_resnet": (
        *((5, 8, 12), Config3D),
        {"rays": 24, "grid": (1, 2, 2), "anisotropy": (2, 1, 1), "backbone": "resnet", "resnet_n_filter_base": 4},
    ),
    "volume_normed": (
        *((4, 12, 16), Config3D),
        {
            **{"rays": 24, "grid": (2, 4, 4), "n_channel_in": 2, "backbone": "resnet", "resnet_n_filter_base": 4},
            **{"resnet_batch_norm": True, "resnet_n_conv_per_block": 2, "resnet_n_blocks": 3, "n_classes": 2},
        },
    ),
}
FLOOR = 0.49


def weight(key, shape):
    """Return numbers for an array of a layer; only the key and the shape matter."""
    numbers = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    part = key.rpartition("/")[2]
    if part == "kernel":
        return numbers * np.sqrt(2 / np.prod(shape[:-1]))
    return {"gamma": 1 + numbers / 10, "moving_variance": np.exp(numbers / 5)}.get(part, numbers / 10)


def image(name, shape):
    return np.random.default_rng(zlib.crc32(name.encode())).random(shape).astype(np.float32)


def fill(model):
    """Give a network its weights. Layers that Keras numbers are counted, from 0, in the order of their making."""
    counts = {"conv2d": 0, "conv3d": 0, "batch_normalization": 0}
    layers = [layer for layer in model.layers if layer.weights]
    for kind in counts:
        own = [layer for layer in layers if layer.name == kind or layer.name.rpartition("_")[0] == kind]
        for i, layer in enumerate(sorted(own, key=lambda one: int("0" + one.name[len(kind) + 1 :]))):
            _fill(layer, f"{kind}.{i}")
            layers.remove(layer)
    for layer in layers:
        _fill(layer, layer.name.removeprefix("net"))


def _fill(layer, key):
    layer.set_weights([weight(f"{key}/{one.path.rpartition('/')[2]}", one.shape) for one in layer.weights])


def outputs(model, pixels):
    """Return what a network tells of an image (*spatial, channels), with scores in the place of probabilities."""
    import keras

    ends = []
    for layer in (model.keras_model.get_layer(name) for name in ("prob", "dist", "prob_class") if _has(model, name)):
        layer.activation = keras.activations.linear
        ends.append(layer.output)
    again = keras.Model.from_config(model.keras_model.get_config())
    again.set_weights(model.keras_model.get_weights())
    found = again.predict(pixels[None], verbose=0)
    return np.concatenate([np.moveaxis(part[0], -1, 0) for part in found]).astype(np.float32)


def _has(model, name):
    return any(layer.name == name for layer in model.keras_model.layers)


def discs(shape, count, radius, seed):
    """Return labels of discs or balls that touch, each pixel of the nearest centre; and an image of them."""
    rng = np.random.default_rng(seed)
    scale = np.array([2.0, 1.0, 1.0][3 - len(shape) :]) if len(shape) == 3 else np.ones(2)
    centres = np.stack([rng.uniform(0, n, count) for n in shape], axis=1)
    radii = radius * rng.uniform(0.7, 1.3, count)
    places = np.moveaxis(np.indices(shape), 0, -1)[..., None, :] - centres
    wobble = 1 + 0.12 * np.sin(3 * np.arctan2(places[..., -2], places[..., -1]) + np.arange(count))
    apart = np.linalg.norm(places * scale, axis=-1) / radii / wobble
    nearest = apart.argmin(axis=-1)
    labels = np.where(np.take_along_axis(apart, nearest[..., None], -1)[..., 0] < 1, nearest + 1, 0)
    bright = (labels > 0) * (0.4 + 0.6 * (1 - np.take_along_axis(apart, nearest[..., None], -1)[..., 0] ** 2))
    noisy = bright + 0.08 * rng.standard_normal(shape)
    ids = np.unique(labels)
    return np.searchsorted(ids, labels).astype(np.uint16), np.clip(200 * noisy + 20, 0, 255).astype(np.uint8)


def trained(kind, config, shape, count, radius, epochs):
    """Return a model that was trained for some steps, in a folder."""
    import keras

    keras.utils.set_random_seed(0)
    folder = tempfile.mkdtemp()
    model = kind(config, name="model", basedir=folder)
    pairs = [discs(shape, count, radius, seed) for seed in range(8)]
    images, labels = [pixels / np.float32(255) for _, pixels in pairs], [found for found, _ in pairs]
    model.train(images, labels, validation_data=(images[:2], labels[:2]), seed=0, epochs=epochs, steps_per_epoch=50)
    model.optimize_thresholds(images[:2], labels[:2], nms_threshs=[0.3], optimize_kwargs={"maxiter": 8})
    return model


def models(folder):
    """Write the two models, and return what they tell."""
    settings = {"train_learning_rate": 2e-3, "train_tensorboard": False}
    small = {"unet_n_depth": 2, "unet_n_filter_base": 4, "net_conv_after_unet": 8, "train_patch_size": (64, 64)}
    plane = Config2D(n_rays=16, grid=(2, 2), **small, **settings)
    small = {"resnet_n_blocks": 2, "resnet_n_filter_base": 4, "net_conv_after_resnet": 8, "resnet_n_conv_per_block": 2}
    small |= {"train_patch_size": (16, 32, 32), "backbone": "resnet"}
    volume = Config3D(rays=24, grid=(1, 2, 2), anisotropy=(2, 1, 1), **small, **settings)
    found = {}
    parts = (
        ("plane", "stardist2d", trained(StarDist2D, plane, (96, 96), 30, 9, 12), (75, 90), 26, 9),
        ("volume", "stardist3d", trained(StarDist3D, volume, (16, 40, 40), 12, 9, 16), (15, 37, 42), 11, 9),
    )
    for name, target, model, shape, count, radius in parts:
        pixels = discs(shape, count, radius, 99)[1]
        labels, details = model.predict_instances(pixels / np.float32(255))
        found |= {f"{name}.image": pixels, f"{name}.labels": labels.astype(np.uint16)}
        found |= {f"{name}.points": details["points"].astype(np.int32), f"{name}.probability": details["prob"]}
        print(name, "objects", labels.max(), "thresholds", model.thresholds)
        if name == "plane":
            model.keras_model.save_weights(str(model.logdir / "weights_last.weights.h5"))
        with zipfile.ZipFile(Path(folder, f"{target}.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
            for part in ("config.json", "thresholds.json", "weights_best.h5", "weights_last.weights.h5"):
                if (model.logdir / part).exists():
                    archive.write(model.logdir / part, part)
        even = [n - n % m for n, m in zip(shape, model._axes_div_by(model.config.axes[:-1]), strict=True)]
        cut = (pixels / np.float32(255))[tuple(slice(n) for n in even)]
        found[f"{name}.outputs"] = outputs(model, cut[..., None])
        shutil.rmtree(model.basedir)
    return found


def _at(labels, count, seed):
    """Return pixels of objects, some of the background, and the corners."""
    rng = np.random.default_rng(seed)
    places = np.argwhere(labels > 0)[rng.choice((labels > 0).sum(), count, replace=False)]
    empty = np.argwhere(labels == 0)[:5]
    return np.concatenate([places, empty]).astype(np.int16)


def geometry(name, labels, rays, grid, anisotropy, count):
    """Return what StarDist makes of labels, and of maps like a network's."""
    plane = labels.ndim == 2
    steps = tuple(slice(None, None, g) for g in grid)
    every = star_dist(labels, 32) if plane else star_dist3D(labels, rays)
    coarse = star_dist(labels, 32, grid=grid) if plane else star_dist3D(labels, rays, grid=grid)
    depth = edt_prob(labels, anisotropy=anisotropy)
    # StarDist takes the depth in a plane of the labels on the grid, and in a volume of all of them.
    grid_depth = edt_prob(labels[steps]) if plane else depth[steps]
    at = _at(labels, count, 5)
    here, there = tuple(at.T), tuple((at // np.array(grid)).T)
    rng = np.random.default_rng(6)
    noisy = np.clip(grid_depth * 0.6 + 0.2 * rng.standard_normal(grid_depth.shape), 0, 0.99) * (grid_depth > 0)
    order = noisy.ravel().argsort(kind="stable").argsort(kind="stable").reshape(noisy.shape)
    probability = np.maximum(np.sort(np.round(noisy.ravel() * 65536)), 0).astype(np.int64)
    for i in range(1, len(probability)):  # no two alike where it matters
        if probability[i] > 20000:
            probability[i] = max(probability[i], probability[i - 1] + 1)
    probability = probability[order]
    assert probability.max() < 65536
    above = probability / 65536 > FLOOR
    larger = np.exp(0.5 * rng.standard_normal((*above.shape, 1))) * (1 + 0.1 * rng.standard_normal(coarse.shape))
    lengths = np.clip(8 * coarse * larger, 4, 255).astype(np.uint8)[above]
    dist = np.full(coarse.shape, 0.001, np.float32)
    dist[above] = lengths / 8 + 1 / 16
    maps = dist, (probability / 65536).astype(np.float32)
    found = {"labels": labels.astype(np.uint8), "at": at, "distances": every[here], "depth": depth[here]}
    found |= {"grid_depth": grid_depth[there], "grid_distances": coarse[there]}
    found |= {"probability": probability.astype(np.uint16), "lengths": lengths}
    for overlap in (0.3, 0.4, 0.5):
        thresholds = {"prob_thresh": 0.5, "nms_thresh": overlap, "grid": grid}
        if plane:
            points, scores, distances = non_maximum_suppression(*maps, **thresholds)
            drawn = polygons_to_label(distances, points, labels.shape, prob=scores)
        else:
            points, scores, distances = non_maximum_suppression_3d(*maps, rays, **thresholds)
            drawn = polyhedron_to_label(distances, points, rays, labels.shape, prob=scores, verbose=False)
        print(name, overlap, "candidates", (maps[1] > 0.5).sum(), "kept", len(points))
        word = "kept" if overlap == 0.4 else f"kept_0{round(10 * overlap)}"
        found[word] = points.astype(np.int16)
        if overlap == 0.4:
            found["drawn"] = drawn.astype(np.uint8)
    if not plane:
        found |= {"rays": rays.vertices, "triangles": rays.faces.astype(np.int32)}
    return {f"{name}.{key}": value for key, value in found.items()}


def main(folder):
    found = {}
    for name, (shape, kind, settings) in NETWORKS.items():
        config = kind(**settings)
        model = (StarDist2D if kind is Config2D else StarDist3D)(config, basedir=None)
        fill(model.keras_model)
        found[f"{name}.outputs"] = outputs(model, image(name, (*shape, config.n_channel_in)))
        print(name, found[f"{name}.outputs"].shape, np.abs(found[f"{name}.outputs"]).max())
    flat = discs((256, 256), 70, 18, 1)[0]
    found |= geometry("flat", flat, None, (2, 2), None, 250)
    rays = Rays_GoldenSpiral(96, anisotropy=(2, 1, 1))
    deep = discs((32, 64, 64), 22, 13, 2)[0]
    found |= geometry("deep", deep, rays, (1, 2, 2), (2, 1, 1), 120)
    print("objects", flat.max(), deep.max())
    found |= models(folder)
    np.savez_compressed(Path(folder, "stardist.npz"), **found)


if __name__ == "__main__":
    main(sys.argv[1])
