"""How much memory processes took at most, beside what docker-compose.yml gives their container."""

from __future__ import annotations

from pathlib import Path

import yaml

MIB = 2**20
_COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"


def allowed(service: str) -> int:
    """Bytes for the processes of a service: an eighth of its limit is for sockets and files under way."""
    limit = yaml.safe_load(_COMPOSE.read_text(encoding="utf-8"))["services"][service]["mem_limit"]
    assert limit.endswith("m")
    return int(limit.removesuffix("m")) * MIB * 7 // 8


def peak(pid: int) -> int:
    """Bytes that were resident at most since forget_peak(), shared libraries among them (VmHWM)."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def forget_peak(pid: int) -> None:
    """Measure from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
