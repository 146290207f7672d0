"""What every test may rely on."""

from __future__ import annotations

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_as_they_come():
    """Each test begins with structlog's defaults, also after one that has set logs up for a command of its own."""
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
