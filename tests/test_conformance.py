"""Every step of the catalog keeps the promises that segmentry.testing asks of it."""

import pytest

from segmentry import catalog
from segmentry.io import formats
from segmentry.testing import CLEANER_CHECKS, FILTER_CHECKS, SEGMENTER_CHECKS, check_format

#: Steps with other parameters than the defaults, where these take another way through the code.
VARIANTS = {
    "otsu": [{"foreground": "dark"}],
    "watershed": [{"foreground": "dark", "depth": 0, "sigma": 0}, {"threshold": 60, "sigma": "1.5 px"}],
    "kmeans": [{"n_classes": 5, "background": "largest"}, {"background": "brightest"}],
    "region_growing": [{"foreground": "dark", "tolerance": 0.2}, {"seeds": None, "min_contrast": 0.5}],
    "gaussian": [{"sigma": 0}, {"sigma": "1.5 um"}],
    "background": [{"radius": 3}, {"radius": 4, "objects": "dark"}],
    "normalise": [{"low": 0, "high": 100, "clip": True}],
    "resample": [{"spacing": "0.6 um"}, {"spacing": "2.7 um"}],
    "drop_small": [{"min_size": 1}, {"min_size": 5}],
    "fill_holes": [{"max_size": 1}],
    "clear_border": [{"margin": 3, "depth": False}],
}


def cases(kind, checks):
    return [
        pytest.param(catalog.make(kind, name, parameters), check, id=f"{name}-{number}-{check.__name__}")
        for name in catalog.names(kind)
        for number, parameters in enumerate([{}, *VARIANTS.get(name, [])])
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
