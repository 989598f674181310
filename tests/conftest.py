"""Settings shared by all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# HYPOTHESIS_PROFILE=long: fresh random examples and many of them (.ci/full). The
# default is the same small set every time, so that a change alone can turn a test red.
settings.register_profile("default", derandomize=True, max_examples=25, deadline=None)
settings.register_profile("long", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the source tree."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real data sets that are not shipped; skips without it."""
    folder = os.environ.get("SKTIE_DATA")
    if not folder:
        pytest.skip("SKTIE_DATA is not set")
    return Path(folder)
