"""Record what surface-distance says of pairs of masks: python make_surfaces.py > surfaces.json

Needs surface-distance-based-measures (0.1 was used, with NumPy 1.23 and SciPy 1.10: later ones lack names that it uses)
and scikit-image. The masks are made here again by the test.
"""

import json
import sys

import numpy as np
from skimage.data import cell, coins

#: No distance in the pairs is one of these, which rounding would decide.
TOLERANCES = (0.55, 1.05, 2.45)
PERCENTS = (5, 50, 95, 100)


def ball(shape, centre, radii):
    """Return an ellipsoid."""
    places = np.indices(shape).transpose(*range(1, len(shape) + 1), 0)
    return (((places - centre) / radii) ** 2).sum(axis=-1) < 1


def pairs():
    """Yield predicted masks, true masks and spacings: photographs, balls, noise, single pixels, nothing."""
    photograph = coins()
    yield photograph > 120, photograph > 110, (1, 1)
    yield np.roll(photograph > 105, 3, axis=1), photograph > 130, (0.65, 2)
    yield cell() > 90, cell() > 110, (0.1, 0.1)
    one, other = ball((24, 40, 44), (11, 18, 20), (8, 13, 15)), ball((24, 40, 44), (12, 20, 25), (9, 12, 14))
    yield one, other, (1, 1, 1)
    yield one, other, (2.5, 0.7, 0.4)
    yield one & ~other, other, (2, 1, 1)
    rng = np.random.default_rng(0)
    for share, spacing in ((0.5, (1.3, 0.9)), (0.1, (1, 1, 1)), (0.5, (3, 0.7, 1.3)), (0.8, (0.5, 2, 1))):
        noise = rng.random((2, *(14,) * len(spacing))) < share
        yield noise[0], noise[1], spacing
    dots = np.zeros((2, 5, 9, 12), bool)
    dots[0, 1, 2, 3] = dots[1, 4, 8, 10] = True
    yield dots[0], dots[1], (4, 1, 1.5)
    yield dots[0], np.zeros_like(dots[0]), (1, 1, 1)
    yield np.zeros_like(dots[0]), dots[1], (1, 1, 1)
    yield np.ones((6, 7), bool), ball((6, 7), (3, 3), (2.5, 3)), (1, 2)


def judged(predicted, truth, spacing):
    """Return what the package says of one pair; distances that are infinite become null."""
    import surface_distance as sd

    found = sd.compute_surface_distances(truth, predicted, spacing)
    to_predicted, to_truth = sd.compute_average_surface_distance(found)
    scores = {
        "n_predicted": len(found["distances_pred_to_gt"]),
        "n_true": len(found["distances_gt_to_pred"]),
        "predicted_size": found["surfel_areas_pred"].sum(),
        "true_size": found["surfel_areas_gt"].sum(),
        "average_to_predicted": to_predicted,
        "average_to_truth": to_truth,
        "squares_to_truth": (found["distances_pred_to_gt"] ** 2 * found["surfel_areas_pred"]).sum(),
        "robust_hausdorff": [sd.compute_robust_hausdorff(found, p) for p in PERCENTS],
        "surface_dice": [sd.compute_surface_dice_at_tolerance(found, t) for t in TOLERANCES],
        "overlap": [sd.compute_surface_overlap_at_tolerance(found, t) for t in TOLERANCES],
    }
    return json.loads(json.dumps(scores, default=float).replace("Infinity", "null").replace("NaN", "null"))


if __name__ == "__main__":
    json.dump([judged(*pair) for pair in pairs()], sys.stdout, indent=1)
    print()
