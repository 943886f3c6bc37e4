# cython: language_level=3, cdivision=True
"""The Cython wing compiled for one instruction-set level, which setup.py gives as compiler flags."""
include "kernels.pxi"
include "table.pxi"
