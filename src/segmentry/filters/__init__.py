"""Filters: image to image, one file each."""
