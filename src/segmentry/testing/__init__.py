"""The promises of steps, formats and representations as checks, for this package and for those that extend it.

Run them all on an instance::

    from segmentry.testing import check_segmenter
    check_segmenter(MyMethod())

or one by one, as pytest cases: ``@pytest.mark.parametrize("check", SEGMENTER_CHECKS)``.
"""

from segmentry.testing.representations import check_representation, perfect_maps
from segmentry.testing.steps import (
    CLEANER_CHECKS,
    FILTER_CHECKS,
    SEGMENTER_CHECKS,
    check_cleaner,
    check_filter,
    check_format,
    check_segmenter,
    sample_image,
)

__all__ = [
    "CLEANER_CHECKS",
    "FILTER_CHECKS",
    "SEGMENTER_CHECKS",
    "check_cleaner",
    "check_filter",
    "check_format",
    "check_representation",
    "check_segmenter",
    "perfect_maps",
    "sample_image",
]
