"""Images of simulated nuclei and cells with their truth: to try methods out, to know how far they are right, to train.

:func:`simulate` makes an image of a :class:`Scene`, which holds all that can be said of shapes, crowding, stain, optics
and camera; :func:`random_scene` draws one. :func:`simulate_nuclei` is a plain scene with few parameters.
"""

from __future__ import annotations

from segmentry.simulation.images import simulate
from segmentry.simulation.nuclei import simulate_nuclei
from segmentry.simulation.random_scenes import random_scene
from segmentry.simulation.scene import Scene

__all__ = ["Scene", "random_scene", "simulate", "simulate_nuclei"]
