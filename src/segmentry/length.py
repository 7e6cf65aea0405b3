"""Lengths and sizes as people write them: a bare number counts pixels, ``"2.5 um"`` needs the image's pixel size."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from segmentry.errors import ParameterError
from segmentry.image import Grid, normalise_unit, unit_ratio

__all__ = ["Length", "Size"]

#: No length may exceed this many pixels: a window of that reach would never end.
MAX_PIXELS = 10_000


@dataclass(frozen=True)
class Length:
    """A distance in pixels (`unit` is ``None``) or in a physical unit; zero or more.

    Examples
    --------
    >>> Length.parse("2 um").pixels(Grid("ZYX", (5, 9, 9), (1.0, 0.5, 0.5), "um"))
    (2.0, 4.0, 4.0)
    >>> Length.parse(3).pixels(Grid("YX", (9, 9)))
    (3.0, 3.0)
    """

    value: float
    unit: str | None = None

    pattern: ClassVar[str] = r"^\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([^\W\d_]*)\s*$"
    example: ClassVar[str] = "3 (pixels) or '2.5 um'"

    @classmethod
    def parse(cls, given: Any) -> Self:
        """Return the length that a number or a text means.

        Raises
        ------
        ValueError
            When it is neither, negative or not finite.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            match = re.match(cls.pattern, given)
            if match is None:
                raise ValueError(f"{given!r} is not like {cls.example}")
            given, unit = match.group(1), cls._unit(match.group(2), given)
        else:
            unit = None
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            raise ValueError(f"{given!r} is not like {cls.example}")
        value = float(given)
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{value:g} must be zero or more, and finite")
        return cls(value, unit)

    @classmethod
    def _unit(cls, word: str, given: str) -> str | None:
        if word.lower() in ("", "px", "pixel", "pixels"):
            return None
        unit = normalise_unit(word)
        if unit is None:
            raise ValueError(f"unit {word!r} of {given!r} is not known: use px, nm, um, mm, cm or m")
        return unit

    def pixels(self, grid: Grid) -> tuple[float, ...]:
        """Return the length along each spatial axis of a grid, in pixels.

        Raises
        ------
        ParameterError
            When it has a unit and the grid no spacing, or is longer than 10,000 pixels.
        """
        if self.unit is None:
            found = (self.value,) * len(grid.spatial)
        elif grid.spacing is None or grid.unit is None:
            raise ParameterError(
                f"{self} can't be turned into pixels: the image has no pixel size; "
                "give it (--spacing 0.5,0.5um) or use pixels"
            )
        else:
            ratio = unit_ratio(self.unit, grid.unit)
            found = tuple(self.value * ratio / s for s in grid.spacing)
        if max(found) > MAX_PIXELS:
            raise ParameterError(f"{self} is {max(found):g} pixels here; at most {MAX_PIXELS} are possible")
        return found

    def whole(self, grid: Grid) -> tuple[int, ...]:
        """Return how many whole pixels it spans along each spatial axis of a grid."""
        return tuple(int(n * (1 + 1e-6)) for n in self.pixels(grid))

    def metric(self, grid: Grid) -> tuple[tuple[float, ...], float]:
        """Return the distance between neighbours along each spatial axis, and this length, in one and the same unit.

        >>> Length.parse("2 um").metric(Grid("ZYX", (5, 9, 9), (1.0, 0.5, 0.5), "um"))
        ((2.0, 1.0, 1.0), 4.0)
        """
        reach = self.pixels(grid)
        longest = max(reach)
        return tuple(longest / n if n else 1.0 for n in reach), longest

    def dump(self) -> float | str:
        """Return the number of pixels, or the text with the unit."""
        return self.value if self.unit is None else str(self)

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit or 'px'}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let a field of this type take numbers and texts, and give them back."""
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda length: length.dump()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the type to forms: a number of pixels, or a text with a unit."""
        return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": cls.pattern}]}


@dataclass(frozen=True)
class Size(Length):
    """An area or a volume in pixels, or in a squared or cubed unit.

    Examples
    --------
    >>> Size.parse("4 um2").count(Grid("YX", (9, 9), (0.5, 0.5), "um"))
    16.0
    """

    power: ClassVar[dict[str, int]] = {"2": 2, "²": 2, "3": 3, "³": 3}
    pattern: ClassVar[str] = r"^\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*((?:[^\W\d_]+[23²³]?)?)\s*$"
    example: ClassVar[str] = "30 (pixels), '12 um2' or '40 um3'"

    @classmethod
    def _unit(cls, word: str, given: str) -> str | None:
        if word.lower() in ("", "px", "pixel", "pixels"):
            return None
        power = cls.power.get(word[-1])
        unit = normalise_unit(word[:-1])
        if power is None or unit is None:
            raise ValueError(f"unit {word!r} of {given!r} is not known: use px, um2, um3, mm2 …")
        return f"{unit}{power}"

    def count(self, grid: Grid) -> float:
        """Return the size as a number of pixels of a grid.

        Raises
        ------
        ParameterError
            When it has a unit and the grid no spacing, or it is an area and the grid a volume or the reverse.
        """
        if self.unit is None:
            return self.value
        unit, power = self.unit[:-1], int(self.unit[-1])
        if grid.spacing is None or grid.unit is None:
            raise ParameterError(
                f"{self} can't be turned into pixels: the image has no pixel size; "
                "give it (--spacing 0.5,0.5um) or use pixels"
            )
        if power != len(grid.spacing):
            raise ParameterError(f"{self} asked for on {grid.spatial}: use {unit}{len(grid.spacing)} or pixels")
        return self.value * unit_ratio(unit, grid.unit) ** power / math.prod(grid.spacing)
