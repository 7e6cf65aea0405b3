"""Methods: every way to segment an image, one module each."""
