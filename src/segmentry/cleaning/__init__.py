"""Cleaners: result to result, one file each. Ids are kept; only ``relabel`` renumbers."""
