"""Hot loops on plain arrays. Importing this package is free; a module in it imports numba."""
