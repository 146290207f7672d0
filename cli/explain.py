"""`mailposture explain`: what a failure means and what to do."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cli.options import WRONG_USAGE
from reports.tls.failures import MEANINGS, Meaning, explain, suggest

_NARROWEST, _WIDEST = 30, 100  # columns that words are readable in


@click.command()
@click.argument("term", required=False)
def command(term: str | None) -> None:
    """Say what a result type, a category or another cause means and what to do. Without TERM: list them all.

    \b
    Examples:
      mailposture explain certificate-expired
      mailposture explain timeout
    """
    if term is None:
        for meaning in MEANINGS.values():
            click.echo(f"{meaning.term:30} {meaning.title}")
        return
    found = explain(term)
    if found is None:
        near = suggest(term)
        hint = f"did you mean {' or '.join(near)}?" if near else "`mailposture explain` lists all terms"
        click.echo(f"mailposture: {term!r} is no result type, category or cause; {hint}", err=True)
        sys.exit(WRONG_USAGE)
    _print(found)


def _print(meaning: Meaning) -> None:
    console = Console(highlight=False, soft_wrap=False, width=max(_NARROWEST, min(_WIDEST, Console().width)))
    console.print(Text(meaning.title, style="bold"))
    belongs = f"category {meaning.category} · " if meaning.category else ""
    console.print(Text(f"{meaning.term} · {belongs}{meaning.severity}", style="dim"))
    for heading, words in (("What it means", meaning.explanation), ("What to do", meaning.action)):
        console.print(Text(f"\n{heading}", style="bold"))
        console.print(Padding(Text(words), (0, 0, 0, 2)))
