"""segmentry: images into objects, objects into numbers."""

__version__ = "0.1.0"
