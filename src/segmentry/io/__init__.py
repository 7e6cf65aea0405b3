"""Reading and writing images and labels: one file per format, chosen by content, then by suffix."""

from segmentry.io.files import formats, read, read_labels, read_provenance, write, write_labels, written_whole
from segmentry.io.inputs import find_inputs
from segmentry.io.tables import read_table, write_table

__all__ = [
    "find_inputs",
    "formats",
    "read",
    "read_labels",
    "read_provenance",
    "read_table",
    "write",
    "write_labels",
    "write_table",
    "written_whole",
]
