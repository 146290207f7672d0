"""The Prometheus text format, written fast: ten thousand domains make some two hundred thousand samples.

prometheus_client builds an object a sample; that is right for our own few metrics and too slow for these. Label values
must come from closed sets or from the configuration (see reported.py); they are escaped all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Sample: TypeAlias = tuple[
    tuple[str, ...], float
]  # label values in the order of the gauge's label names, and the number


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """The name, the help text and the label names of a metric that may go up and down."""

    name: str
    help: str
    labels: tuple[str, ...] = ("policy_domain",)


def render(gauge: Gauge, samples: Iterable[Sample]) -> str:
    """The lines of one metric, in text format 0.0.4, with a line break at the end."""
    lines = [f"# HELP {gauge.name} {_escape(gauge.help)}", f"# TYPE {gauge.name} gauge"]
    for values, number in samples:
        labels = ",".join(f'{name}="{_escape_label(value)}"' for name, value in zip(gauge.labels, values, strict=True))
        lines.append(f"{gauge.name}{{{labels}}} {number}")
    lines.append("")
    return "\n".join(lines)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(value: str) -> str:
    return _escape(value).replace('"', '\\"')
