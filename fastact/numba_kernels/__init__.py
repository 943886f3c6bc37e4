"""Wing 3: the pages as Numba scalars, compiled for this machine at first use. Imported, and Numba with it, only when asked for."""
