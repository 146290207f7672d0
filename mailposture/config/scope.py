"""Which of our domains something is about, and what these are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mailposture.config.model import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Some domains of the configuration, or all of them."""

    title: str = ""  # empty: all
    domains: frozenset[str] | None = None  # None: all
    team: str = ""  # whose they are; empty of any other choice


EVERY_DOMAIN: Final = Scope()


def of_domain(name: str) -> Scope:
    return Scope(title=name, domains=frozenset({name}))


def of_team(config: Config, team: str) -> Scope:
    """The domains of a team; none where there is no such team."""
    domains = frozenset(domain.name for domain in config.domains if domain.team == team)
    return Scope(title=f"team {team}", domains=domains, team=team)
