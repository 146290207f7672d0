"""The stack's files, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """docker-compose.yml, merge keys resolved."""
    stack: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return stack
