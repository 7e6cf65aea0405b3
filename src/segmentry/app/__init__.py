"""Faces of segmentry: no logic, nothing that the other faces and Python can't do."""
