"""Fixtures that several test rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared and slow at times: a law that holds late holds.
settings.register_profile("geoseg", deadline=None, print_blob=True)
settings.load_profile("geoseg")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scenes beside the project; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real scenes (../shared/data) are not here")
    return folder
