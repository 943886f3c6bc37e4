"""Wing 1, the reference: plain NumPy, one block per operation, the judge of the other wings; importing it fills the register."""

from . import piecewise, activations, rows, gates, losses  # isort: skip  (the order of the pages is the order of the register)

PAGES = (piecewise, activations, rows, gates, losses)
