"""Wing 3: the pages as Numba scalars, compiled for this machine at first use. Nothing imports it, or Numba, before that."""
