"""Record what Cellpose computes: python make_cellpose.py cellpose.npz

Needs Cellpose (3.1.1.3 was used, with torch 2.13 on a CPU) and scikit-image for its images. The network's weights are
made by a formula, so that they need not be kept: see ``filled``. The arrays of the file are:

For each image NAME of ``IMAGES``, seen at the diameter DIAMETER by the network, which was made for 30 pixels:

- NAME/scores: what the network gives of the whole normalised image, cut to multiples of 16, as (3, Y, X), each second
  pixel along Y and X. The normalised image has two channels, (Y, X, 2).
- NAME/flows and NAME/logits: flows (2, Y, X) and logits (Y, X) of CellposeModel.eval, each third pixel.
- NAME/masks: its labels at default thresholds.

For a label image of crowded objects, some long and bent, one with a hole, one of three pixels:

- objects/labels, objects/exact: the labels (1 … n) and the flows (2, Y, X) that labels_to_flows makes of them, float32.
- objects/flows, objects/logits: 16 times flows and logits as of a network (five times the exact ones, with smooth
  noise), int8. Whatever follows is of these.
- objects/errors: flow_error of the labels, from 1 to n.
- objects/ends: where each pixel (Y, X), in raster order, of those with logits above 0 ends after 200 steps, (2, pixels)
  as whole numbers, cut.
- objects/all: labels of compute_masks without a threshold for flows or sizes.
- objects/kept: the same with the flow threshold 0.4.
- objects/masks: the same, then filled and without objects of fewer than 15 pixels (resize_and_compute_masks).

For a label volume:

- volume/labels, volume/flows, volume/logits: as above, with flows (3, Z, Y, X); the exact ones are, as Cellpose makes
  them, sums of those of all planes, in three directions.
- volume/all and volume/masks: labels of compute_masks and of resize_and_compute_masks with do_3D.

For a volume of intensities seen by the network at the diameter 24, with planes twice as far apart as pixels:

- stack/pixels: uint8 (Z, Y, X).
- stack/flows (3, Z, Y, X), stack/logits (Z, Y, X) of CellposeModel.eval with do_3D.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from cellpose import dynamics, metrics, models, transforms, utils
from cellpose.resnet_torch import CPnet
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from scipy.spatial import cKDTree
from skimage import data

#: Pixels, channels of Cellpose, diameter.
IMAGES = {
    "coins": (data.coins()[40:220, 20:220], [0, 0], 20.0),
    "cell": (data.cell()[300:396, 250:378], [0, 0], 30.0),
    "tissue": (data.immunohistochemistry()[100:212, 60:190], [3, 1], 40.0),
}
CPU = torch.device("cpu")


def filled(shapes, seed=0):
    """Return arrays of such shapes, by names: numbers between bounds that depend on what they are."""
    arrays = {}
    for i, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        drawn = np.random.default_rng([seed, i]).random(shape)
        if name.endswith("num_batches_tracked"):
            arrays[name] = np.zeros(shape, np.int64)
        elif name.endswith(("running_var", ".0.weight")):
            arrays[name] = np.float32(0.5 + drawn)
        elif len(shape) == 1:
            arrays[name] = np.float32(0.4 * drawn - 0.2)
        else:
            bound = (3 / np.prod(shape[1:])) ** 0.5
            arrays[name] = np.float32(bound * (2 * drawn - 1))
    return arrays


def objects(shape=(256, 256), seed=3):
    """Return labels of crowded objects of many shapes."""
    rng = np.random.default_rng(seed)
    points = rng.random((48, 2)) * shape
    grid = np.indices(shape).reshape(2, -1).T
    distance, nearest = cKDTree(points).query(grid * [1.0, 1.0])
    radius = rng.uniform(9, 24, len(points))[nearest]
    labels = np.where(distance < radius, nearest + 1, 0).reshape(shape)
    y, x = np.indices(shape)
    for i in range(8):
        centre, reach, width = rng.random(2) * 200 + 28, rng.uniform(14, 34), rng.uniform(2, 5)
        turn = (np.arctan2(y - centre[0], x - centre[1]) - rng.random() * 6.28) % (2 * np.pi)
        bent = (np.abs(np.hypot(y - centre[0], x - centre[1]) - reach) < width) & (turn < rng.uniform(1.5, 5))
        labels[bent] = 100 + i
    away = np.hypot(y - 206, x - 50)
    labels[away < 17] = 200
    labels[away < 7] = 0
    labels[2:14, 2:14] = 0
    labels[7, 6:8], labels[8, 6] = 201, 201
    return pieces(labels)


def pieces(labels):
    """Return the connected pieces of all labels, from 1, the tiny ones of cut objects left out."""
    found = np.zeros(labels.shape, np.int32)
    for one in np.unique(labels)[1:]:
        parts, n = label(labels == one)
        for j in range(1, n + 1):
            if (parts == j).sum() > 12 or one == 201:
                found[parts == j] = found.max() + 1
    return found


def as_predicted(exact, labels, noise, seed=0):
    """Return 16 times flows and logits that a network might give, int8."""
    rng = np.random.default_rng(seed)
    smooth = (0, *(2,) * labels.ndim)
    wrong = gaussian_filter(rng.standard_normal(exact.shape), smooth)
    wrong /= wrong.std()
    amount = gaussian_filter(rng.random(labels.shape), 20)
    amount = (amount - amount.min()) / np.ptp(amount)
    flows = 5 * (exact + noise * amount**2 * wrong)
    inside = distance_transform_edt(labels > 0) - distance_transform_edt(labels == 0)
    logits = np.clip(2 * inside + 1.5 * gaussian_filter(rng.standard_normal(labels.shape), 1.5) * 5, -7, 7)
    return np.int8(np.clip(np.round(flows * 16), -127, 127)), np.int8(np.round(logits * 16))


def of_objects():
    labels = objects()
    exact = dynamics.labels_to_flows([labels.copy()], device=CPU)[0][2:4]
    flows, logits = as_predicted(exact, labels, 1.2)
    seen, certain = np.float32(flows) / 16, np.float32(logits) / 16
    ends = dynamics.follow_flows(seen * (certain > 0) / 5.0, np.nonzero(certain > 0), niter=200, device=CPU)
    every = dynamics.compute_masks(seen, certain, flow_threshold=0, device=CPU)
    kept = dynamics.compute_masks(seen, certain, device=CPU)
    masks = dynamics.resize_and_compute_masks(seen, certain, device=CPU)
    # Cellpose looks for small objects among labels as if none had been taken away: that must not matter here.
    again = utils.fill_holes_and_remove_small_masks(np.unique(kept, return_inverse=True)[1].reshape(kept.shape))
    print("objects", labels.max(), every.max(), len(np.unique(kept)) - 1, masks.max(), again.max())
    assert np.array_equal(again > 0, masks > 0)
    return {
        "labels": np.uint8(labels),
        "exact": np.float32(exact),
        "flows": flows,
        "logits": logits,
        "errors": metrics.flow_error(labels, seen, CPU)[0],
        "ends": np.uint8(ends),
        "all": np.uint8(every),
        "kept": np.uint8(kept),
        "masks": np.uint8(masks),
    }


def of_volume():
    shape = (20, 40, 44)
    rng = np.random.default_rng(5)
    points = rng.random((16, 3)) * shape
    distance, nearest = cKDTree(points).query(np.indices(shape).reshape(3, -1).T)
    labels = pieces(np.where(distance < 9, nearest + 1, 0).reshape(shape))
    exact = dynamics.masks_to_flows(labels, device=CPU)
    flows, logits = as_predicted(exact, labels, 0.4)
    seen, certain = np.float32(flows) / 16, np.float32(logits) / 16
    every = dynamics.compute_masks(seen, certain, do_3D=True, device=CPU)
    masks = dynamics.resize_and_compute_masks(seen, certain, do_3D=True, device=CPU)
    print("volume", labels.max(), every.max(), masks.max())
    return {
        "labels": np.uint8(labels),
        "flows": flows,
        "logits": logits,
        "all": np.uint8(every),
        "masks": np.uint8(masks),
    }


def of_image(model, image, channels, diameter):
    normal = transforms.normalize_img(transforms.convert_image(image, channels))
    cut = normal[: normal.shape[0] // 16 * 16, : normal.shape[1] // 16 * 16]
    with torch.no_grad():
        scores = model.net(torch.from_numpy(np.ascontiguousarray(cut.transpose(2, 0, 1))[None]))[0][0].numpy()
    masks, (_, flows, logits), _ = model.eval(image, channels=channels, diameter=diameter)
    print(image.shape, masks.max(), np.abs(scores).max(), (logits > 0).mean())
    return {
        "scores": scores[:, ::2, ::2],
        "flows": flows[:, ::3, ::3],
        "logits": logits[::3, ::3],
        "masks": np.uint16(masks),
    }


def of_stack(model):
    noise = gaussian_filter(np.random.default_rng(7).standard_normal((4, 14, 16)), (1, 2, 2))
    pixels = np.uint8(np.clip(128 + 50 * noise / noise.std(), 0, 255))
    _, (_, flows, logits), _ = model.eval(
        pixels, channels=[0, 0], diameter=24.0, do_3D=True, z_axis=0, anisotropy=2.0, compute_masks=False
    )
    return {"pixels": pixels, "flows": flows, "logits": logits}


def main(target):
    torch.set_num_threads(1)
    net = CPnet([2, 32, 64, 128, 256], 3, 3)
    arrays = filled({n: tuple(t.shape) for n, t in net.state_dict().items() if not n.startswith("diam")})
    state = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network")
        torch.save(state | {"diam_mean": torch.full((1,), 30.0), "diam_labels": torch.full((1,), 25.0)}, path)
        model = models.CellposeModel(gpu=False, pretrained_model=str(path), mkldnn=False)
    model.net.eval()
    found = {name: of_image(model, *given) for name, given in IMAGES.items()}
    found |= {"objects": of_objects(), "volume": of_volume(), "stack": of_stack(model)}
    np.savez_compressed(target, **{f"{a}/{b}": array for a, parts in found.items() for b, array in parts.items()})


if __name__ == "__main__":
    main(sys.argv[1])
