"""What can be measured of an object: one function each, in the file of its family."""
