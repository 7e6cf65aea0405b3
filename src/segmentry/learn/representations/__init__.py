"""One module for each representation: what of labels a network learns."""
