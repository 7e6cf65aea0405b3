"""Every step of the catalog keeps the promises that segmentry.testing asks of it."""

import pytest

from dotted import density_file
from segmentry import catalog
from segmentry.io import formats
from segmentry.testing import CLEANER_CHECKS, FILTER_CHECKS, SEGMENTER_CHECKS, check_format
from taught import colour_model_file, model_file, network_file

#: Steps with other parameters than the defaults, where these take another way through the code.
VARIANTS = {
    "otsu": [{"foreground": "dark"}],
    "watershed": [
        {"foreground": "dark", "depth": 0, "sigma": 0},
        {"threshold": 60, "sigma": "1.5 px"},
        {"local_radius": 9},
    ],
    "intensity_watershed": [{"shape": 0.6, "sigma": 1}, {"foreground": "dark", "local_radius": 12, "contrast": 0.05}],
    "gradient_watershed": [{"band": 0, "sigma": 0}, {"foreground": "dark", "band": "2 px"}],
    "compact_watershed": [{"markers": "grid", "step": 9}, {"compactness": 1, "local_radius": 8}],
    "canny": [{"foreground": "dark", "gap": 0, "fill": False}, {"sigma": 1, "gap": "5 px", "strength": 0.5}],
    "log_edges": [{"foreground": "dark", "sigma": "1.5 px"}, {"sigma": 4, "min_contrast": 0.05}],
    "log_spots": [{"foreground": "dark", "extent": "half"}, {"min_radius": 4, "max_radius": 4, "overlap": 0}],
    "dog_spots": [{"extent": "half", "n_scales": 4}, {"min_radius": 3, "max_radius": 3, "min_signal": 0}],
    "flood_fill": [{"foreground": "dark", "sigma": 0}, {"tolerance": 10}],
    "confidence_connected": [{"foreground": "dark", "radius": 1}, {"multiplier": 1.5, "iterations": 0, "sigma": 0}],
    "kmeans": [{"n_classes": 5, "background": "largest"}, {"background": "brightest"}],
    "fuzzy_cmeans": [{"fuzziness": 3, "n_classes": 2}],
    "gaussian_mixture": [{"n_classes": 2, "partial_volume": True}, {"background": "largest", "n_classes": 5}],
    "slic": [{"n_segments": 40, "rounds": 2}, {"size": "5 px", "compactness": 0.5, "sigma": 1}],
    "felzenszwalb": [{"scale": 20, "min_size": 1, "sigma": 0}],
    "region_growing": [{"foreground": "dark", "tolerance": 0.2}, {"seeds": None, "min_contrast": 0.5}],
    "carving": [
        {"foreground": "dark", "boundaries": "bright", "background_bias": 1},
        {"boundaries": "dark", "sigma": "2 px", "background_bias": 0.7, "min_contrast": 0.3},
    ],
    "pixel_classifier": [{"model": model_file()}, {"model": model_file(), "background": "cell"}],
    "unet": [
        {"model": network_file()},
        {"model": network_file(3), "flips": True, "overlap": 0.5},
        {"model": network_file(2, "boundary"), "engine": "torch"},
    ],
    "cellpose": [
        {"model": network_file(2, "flows")},
        {"model": network_file(3, "flows"), "max_error": 4},
        {"model": network_file(2, "flows"), "threshold": 0.2, "min_size": 3, "diameter": 5},
    ],
    "stardist": [
        {"model": network_file(2, "stars")},
        {"model": network_file(3, "stars"), "max_overlap": 0.1},
        {"model": network_file(2, "stars"), "flips": True, "threshold": 0.9, "diameter": 4.5},
    ],
    "nuclei": [{"variant": "fast"}, {"threshold": 0.3, "min_size": 3, "diameter": 9}],
    "density": [{"model": density_file()}],
    "pixel_probability": [{"model": colour_model_file()}, {"model": colour_model_file(), "of": "background"}],
    "random_walker": [{"foreground": "dark", "certainty": 0, "sigma": 0}, {"certainty": 1, "beta": 1000}],
    "graph_cut": [{"smoothness": 0, "foreground": "dark"}, {"edge": 0.2}],
    "chan_vese": [{"start": "checkerboard", "iterations": 50}, {"foreground": "dark", "mu": 0.02, "lambda1": 2}],
    "morphological_chan_vese": [{"start": "checkerboard", "smoothing": 3}, {"foreground": "dark", "smoothing": 0}],
    "geodesic_active_contour": [{"foreground": "dark"}, {"balloon": 0, "margin": "2 px"}],
    "gaussian": [
        {"sigma": 0},
        {"sigma": "1.5 um"},
        {"sigma": 1.3, "sigma_y": 0.2, "sigma_z": 2, "truncate": 2, "edges": "single"},
    ],
    "hysteresis": [{"connectivity": "faces", "min_core": 6}],
    "local_gaussian": [{"radius": 5}, {"foreground": "dark", "offset": 0.1}],
    "sauvola": [{"radius": 4, "foreground": "dark"}],
    "median": [{"radius": 2}, {"radius": "6 um"}, {"radius": 0}],
    "rolling_ball": [{"radius": 6, "sigma": 0}, {"radius": "4 um", "objects": "dark", "height": 40}],
    "top_hat": [{"radius": 3}, {"radius": "4 um", "objects": "dark"}],
    "clahe": [{"radius": 5, "clip_limit": 1, "n_bins": 32}, {"radius": "9 um"}],
    "background": [{"radius": 3}, {"radius": 4, "objects": "dark"}],
    "normalise": [{"low": 0, "high": 100, "clip": True}],
    "z_score": [{"robust": True}],
    "shading": [{"dark": "learn", "baseline": True, "detail": 4}, {"dark": 12}],
    "bias_field": [{"shrink": 2, "levels": 2, "mask": "all"}],
    "stain_separation": [
        {"stain": "all", "staining": "he"},
        {"stain": "dab", "staining": "hdab", "vectors": "estimated"},
    ],
    "resample": [{"spacing": "0.6 um"}, {"spacing": "2.7 um"}],
    "bilateral": [{"sigma": 0}, {"sigma": "1.2 um", "sigma_intensity": 6}],
    "non_local_means": [{"patch": "1.5 um", "search": "3 um", "strength": 2}, {"patch": 0, "search": 1}],
    "total_variation": [{"strength": 3, "iterations": 3}],
    "wavelet": [{"mode": "hard", "levels": 2}, {"mode": "soft", "levels": 3, "threshold": 1}],
    "anisotropic_diffusion": [{"edges": "fraction", "iterations": 4, "contrast": 8}],
    "richardson_lucy": [{"sigma": "1 um", "sigma_z": "3 um", "iterations": 2}, {"sigma": 0.8, "iterations": 3}],
    "drop_small": [{"min_size": 1}, {"min_size": 5}],
    "fill_holes": [{"max_size": 1}],
    "clear_border": [{"margin": 3, "depth": False}],
    "drop_large": [{"max_size": 40}, {"max_size": 1}],
    "drop_elongated": [{"max_elongation": 1.5}],
    "drop_faint": [{"min_contrast": 0.2, "objects": "bright", "surroundings": "2 um", "min_mean": 22}],
    "drop_unsure": [{"min_score": 0.8}],
    "keep_largest": [{"number": 7}],
    "smooth_boundaries": [{"radius": "1.5 um"}, {"radius": 0}, {"radius": 4}],
    "expand": [{"distance": "3 um"}, {"distance": 6.5}, {"distance": 0}],
    "shrink": [{"distance": "2 um", "keep_small": True}, {"distance": 0}],
    "expand_to_cells": [
        {"distance": "4 um", "guided": True},
        {"distance": 3, "guided": True, "threshold": 22, "channel": 0},
    ],
    "split_necks": [{"depth": 0}, {"depth": "0.5 um"}],
    "split_line": [
        {"start": [3.5, -2], "end": [40, 55]},
        {"start": [2, 30], "end": [9, 33.3], "axis": "Y"},
        {"start": [6, 40], "end": [6, 9], "axis": "X"},
    ],
    "merge_touching": [{"min_contact": 0.05}, {"min_contact": 0.01, "max_difference": 10}],
}


def chosen(kind, name):
    """Return the parameters that a step is checked with; one that needs a model can't do with its defaults."""
    defaults = [] if catalog.step(kind, name).trained else [{}]
    found = [*defaults, *VARIANTS.get(name, [])]
    assert found, f"{name} is trained: give it variants with a model"
    return found


def cases(kind, checks):
    return [
        pytest.param(catalog.make(kind, name, parameters), check, id=f"{name}-{number}-{check.__name__}")
        for name in catalog.names(kind)
        # what sorts objects leaves them as they are, and a model of flat objects knows no volumes: tests/test_kinds.py
        if not getattr(catalog.step(kind, name), "sorts", False)
        and not getattr(catalog.step(kind, name), "foreign", False)  # tests/test_foreign_programs.py
        for number, parameters in enumerate(chosen(kind, name))
        for check in checks
    ]


@pytest.mark.parametrize(("segmenter", "check"), cases("method", SEGMENTER_CHECKS))
def test_method(segmenter, check):
    check(segmenter)


@pytest.mark.parametrize(("step", "check"), cases("filter", FILTER_CHECKS))
def test_filter(step, check):
    check(step)


@pytest.mark.parametrize(("step", "check"), cases("cleaner", CLEANER_CHECKS))
def test_cleaner(step, check):
    check(step)


@pytest.mark.parametrize("form", [f for f in formats() if f.writes], ids=lambda f: f.name)
def test_format(form):
    check_format(form)
