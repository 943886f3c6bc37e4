"""Wing 2: the pages as Cython scalars (`cimport` them from the .pxd files), and their loops compiled once per instruction-set level."""
