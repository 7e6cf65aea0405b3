"""All that can be said of a simulated image: shapes, crowding, stain, optics and camera, each bounded and described."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segmentry.errors import ParameterError
from segmentry.parameters import Parameter, described, explained

__all__ = ["Scene"]

#: What is typical of a kind where it differs from fluorescence, and nothing else is said.
TYPICAL: dict[str, dict[str, Any]] = {
    "membrane": {"objects": "cells", "density": 0.15, "clumping": 0.0, "size_spread": 0.1, "overlap": 0.0,
        "cell_size": 4.0, "photons": 300,
    },
    "brightfield": {
        "density": 0.04, "cytoplasm": 0.25, "cell_size": 4.0, "spots": 2, "haze": 0.05, "out_of_focus": 0.05,
        "photons": 5000, "exposure": 0.9, "bit_depth": 8,
    },
    "histology": {
        "density": 0.25, "elongation": 1.5, "chromatin": 0.4, "rim": 0.3, "dome": 0.2, "haze": 0.05, "cytoplasm": 0.4,
        "blur": 0.9, "out_of_focus": 0.15, "photons": 5000, "exposure": 0.9, "bit_depth": 8, "offset": 0.0,
        "brightness_spread": 0.45, "absorbance": 0.5,
    },
}  # fmt: skip


class Scene(BaseModel):
    """A specimen, a microscope and a camera.

    Lengths count pixels of the finest axis; what is a share of a radius scales with the size of nuclei. Defaults are
    those of fluorescence; of the other kinds, what is typical of them.

    Raises
    ------
    ParameterError
        When a parameter does not exist or is out of its bounds.

    Examples
    --------
    >>> Scene(radius=12, clumping=0.8).gain
    2.0475
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    kind: Literal["fluorescence", "membrane", "brightfield", "histology"] = Field(
        "fluorescence",
        description="Bright nuclei in the dark, bright borders of cells, dark nuclei in white light, or a stained "
        "section in RGB; the last two are planes.",
    )
    objects: Literal["nuclei", "cells"] = Field("nuclei", description="What the truth outlines.")

    radius: float = Field(9.0, ge=1, le=200, description="Median radius of a nucleus, in pixels of the finest axis.")
    size_spread: float = Field(0.25, ge=0, le=0.8, description="Standard deviation of the logarithm of radii.")
    elongation: float = Field(1.3, ge=1, le=5, description="Mean ratio of the longest to the shortest axis.")
    bending: float = Field(0.05, ge=0, le=0.6, description="Mean height of the bow of a nucleus, in half lengths.")
    roughness: float = Field(
        0.03, ge=0, le=0.15, description="Standard deviation of the radius over directions, as a share of it."
    )

    density: float = Field(
        0.15, ge=0, le=0.8, description="Share of the area or volume that nuclei are to cover, in focus or not."
    )
    clumping: float = Field(0.3, ge=0, le=1, description="Share of nuclei that lie against another one.")
    pressing: float = Field(
        0.06, ge=0, le=0.3, description="Share of a nucleus that may be flattened by those it touches."
    )
    overlap: float = Field(0.03, ge=0, le=0.5, description="Share of nuclei that lie over another one; planes only.")
    mitosis: float = Field(0.02, ge=0, le=1, description="Share of nuclei in division: short bright rods, or pairs.")
    debris: float = Field(0.05, ge=0, le=5, description="Specks per nucleus; they are no objects.")
    out_of_focus: float = Field(0.08, ge=0, le=1, description="Share of nuclei out of focus; planes only.")
    defocus: float = Field(0.8, ge=0, le=3, description="Largest blur of nuclei out of focus, in radii.")
    lost: float = Field(0.4, ge=0, le=3, description="Blur, in radii, beyond which a nucleus is no object any more.")

    brightness_spread: float = Field(0.3, ge=0, le=1, description="Standard deviation of the logarithm of brightness.")
    dome: float = Field(0.5, ge=0, le=1, description="Whether nuclei are flat, 0, or as bright as a ball is thick, 1.")
    rim: float = Field(0.0, ge=-0.8, le=2, description="How much more stain there is at the surface, as a share.")
    chromatin: float = Field(0.15, ge=0, le=0.6, description="Standard deviation of the texture, as a share.")
    grain: float = Field(0.12, ge=0.02, le=1, description="Size of the grains of the texture, in radii.")
    spots: float = Field(1.0, ge=0, le=20, description="Mean number of bright spots in a nucleus.")
    nucleoli: float = Field(1.0, ge=0, le=6, description="Mean number of dark holes in a nucleus.")
    cytoplasm: float = Field(0.04, ge=0, le=1, description="Stain of the cell around, as a share of the nucleus's.")
    cell_size: float = Field(2.2, ge=1.2, le=5, description="Radius of a cell, in radii of its nucleus.")
    background: float = Field(0.05, ge=0, le=3, description="Light where nothing is, as a share of that of a nucleus.")
    clouds: float = Field(0.15, ge=0, le=1, description="Unevenness of the background, as a share of it.")

    absorbance: float = Field(0.7, ge=0, le=3, description="Optical density of a nucleus in white light.")
    halo: float = Field(0.2, ge=0, le=1, description="Brightness of the fringe around nuclei in brightfield.")
    eosin: float = Field(0.16, ge=0, le=2, description="Optical density of the tissue around, in a section.")
    fibres: float = Field(0.6, ge=0, le=1, description="Share of that tissue that is fibres.")
    stain_shift: float = Field(0.05, ge=0, le=0.3, description="How far the colours of stains are from published ones.")

    psf: Literal["gaussian", "airy"] = Field("gaussian", description="Image of a point: without rings, or with them.")
    blur: float = Field(1.2, ge=0, le=8, description="Standard deviation of the image of a point, in pixels.")
    axial: float = Field(3.0, ge=1, le=8, description="How much longer that image is along the optical axis.")
    haze: float = Field(0.12, ge=0, le=0.9, description="Share of light that is scattered some radii away.")
    illumination: float = Field(0.1, ge=0, le=1, description="Share of light missing in the farthest corner.")
    bleaching: float = Field(0.0, ge=0, le=0.95, description="Share of light lost from the first plane to the last.")

    photons: float = Field(800, gt=0, le=1e6, description="Photons in a pixel of a nucleus, or of white light.")
    exposure: float = Field(0.4, gt=0, le=4, description="Share of the range of pixels that those are.")
    offset: float = Field(0.02, ge=0, le=0.5, description="Value of a dark pixel, as a share of the range.")
    read_noise: float = Field(3.0, ge=0, le=200, description="Noise of the camera itself, in photons.")
    noise: float = Field(1.0, ge=0, le=10, description="Factor on all noise; 0 gives none.")
    bit_depth: Literal[8, 12, 16] = Field(12, description="Bits of a pixel; what is brighter is cut off.")
    binning: int = Field(1, ge=1, le=4, description="Pixels of the camera per row and column that become one.")

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**{**TYPICAL.get(str(values.get("kind")), {}), **values})
        except ValidationError as error:
            raise ParameterError(explained("scene", list(type(self).model_fields), error)) from None

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """Return every parameter with its type, default, bounds and description."""
        return described(cls.model_json_schema()["properties"], cls().settings())

    def settings(self) -> dict[str, Any]:
        """Return the parameters as plain data, ready for JSON and YAML."""
        return self.model_dump(mode="json")

    def with_(self, **values: Any) -> Scene:
        """Return a scene with some parameters changed.

        Raises
        ------
        ParameterError
            As for a new one.
        """
        return Scene(**{**self.model_dump(), **values})

    @property
    def absorbs(self) -> bool:
        """Whether nuclei are dark in white light."""
        return self.kind in ("brightfield", "histology")

    @property
    def gain(self) -> float:
        """Grey values per photon."""
        return self.exposure * int(2**self.bit_depth - 1) / self.photons
