"""The hall: takes kernel pointers from any wing and does strides, dtypes, threads and NumPy's protocols; it knows no function by name."""
