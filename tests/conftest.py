"""Settings of the tests: reproducible examples, a clean environment, and a backend and thread count that no test leaves changed."""

import os

import hypothesis
import pytest

for _variable in [name for name in os.environ if name.startswith("FASTACT_")]:
    del os.environ[_variable]  # the tests choose backends themselves

hypothesis.settings.register_profile("fastact", deadline=None, derandomize=True, max_examples=60, database=None)
hypothesis.settings.load_profile("fastact")


@pytest.fixture(autouse=True)
def unchanged_choices():
    """Backend and threads are global: a test that changes them puts them back."""
    import fastact as fa

    before = fa.sigmoid.backend, fa.get_num_threads()
    yield
    after = fa.sigmoid.backend, fa.get_num_threads()
    if after != before:
        fa.set_backend("cython")
        fa.set_num_threads(before[1])
    assert after == before
