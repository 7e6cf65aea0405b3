"""Pieces of surface against scikit-image's marching cubes and squares."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.measure import find_contours, marching_cubes, mesh_surface_area

from segmentry.kernels.surfels import piece_sizes, surface_codes, surface_points


def cells(ndim: int) -> np.ndarray:
    """Return all ways in which 2 x 2 (x 2) pixels can be in a mask, by their code."""
    return np.array(list(itertools.product((0, 1), repeat=2**ndim)), np.uint8)[:, ::-1].reshape(-1, *(2,) * ndim)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 1, 0.5), (3, 0.7, 1.3), (0.31, 0.97, 1.71)])
def test_areas_are_those_of_marching_cubes_around_the_fewer_pixels(spacing: tuple[float, ...]) -> None:
    sizes = piece_sizes(spacing)
    for code, cell in enumerate(cells(3)):
        around = cell if cell.sum() <= 4 else 1 - cell
        area = 0.0
        if around.any():
            points, faces, *_ = marching_cubes(around.astype(float), 0.5, spacing=spacing, method="lorensen")
            area = mesh_surface_area(points, faces)
        assert sizes[code] == pytest.approx(area, abs=1e-5)


@pytest.mark.parametrize("spacing", [(1, 1), (0.3, 2)])
def test_lengths_are_those_of_marching_squares(spacing: tuple[float, ...]) -> None:
    sizes = piece_sizes(spacing)
    for code, cell in enumerate(cells(2)):
        lines = find_contours(cell.astype(float), 0.5)
        length = sum(np.linalg.norm(np.diff(line * spacing, axis=0), axis=1).sum() for line in lines)
        assert sizes[code] == pytest.approx(length)


@pytest.mark.parametrize("ndim", [2, 3])
def test_codes_name_the_pixels_in_raster_order(ndim: int) -> None:
    for code, cell in enumerate(cells(ndim)):
        found = surface_codes(cell.astype(np.bool_))
        assert found.shape == (3,) * ndim
        assert found[(1,) * ndim] == code
        assert surface_points(found)[(1,) * ndim] == (0 < code < 2 ** (2**ndim) - 1)
        assert np.array_equal(found > 0, surface_points(found) | (found == 2 ** (2**ndim) - 1))


def test_the_edge_of_the_array_is_a_surface() -> None:
    points = surface_points(surface_codes(np.ones((3, 4), np.bool_)))
    assert points.sum() == points.size - 2 * 3
