"""What goes wrong at a domain of the demo."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Story:
    """A story in a line, for the demo's first screen."""

    domain: str
    headline: str
