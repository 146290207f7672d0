"""`mailposture explain`: what a failure, a pile or a sending service is and what to do."""

from __future__ import annotations

import sys
from difflib import get_close_matches

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cli.exit_codes import WRONG_USAGE
from mailposture.checks.reason_words import WORDS as RECORD_WORDS
from reports.dmarc import words as dmarc_words
from reports.dmarc.catalogue import Service, ServiceKind, service_named, services
from reports.tls.failures import MEANINGS, explain, suggest

_NARROWEST, _WIDEST = 30, 100  # columns that words are readable in
_SENDERS = "senders"


@click.command()
@click.argument("term", required=False)
def command(term: str | None) -> None:
    """Explain a term and what to do: of TLS reports, of DMARC, or the name of a service that sends mail.

    TERM is a result type, a category or another cause; a pile or reason of DMARC; what `check` and probes find wrong
    with a DNS record; or a service, whose mail it says how to align. `senders` lists all services. Without TERM: list
    all terms.

    \b
    Examples:
      mailposture explain certificate-expired
      mailposture explain ours-failing
      mailposture explain Mailchimp
    """
    if term is None:
        titles = {meaning.term: meaning.title for meaning in MEANINGS.values()}
        titles |= {meaning.term: meaning.title for meaning in dmarc_words.ALL}
        titles |= {reason: words.title for reason, words in RECORD_WORDS.items()}
        for name, title in titles.items():
            click.echo(f"{name:30} {title}")
    elif term.strip().lower() == _SENDERS:
        for service in services():
            click.echo(f"{service.name:34} {service.kind:12} {', '.join(service.domains)}")
    elif not _explained(term):
        near = _near(term)
        hint = f"did you mean {' or '.join(near)}?" if near else "`mailposture explain` lists all terms"
        click.echo(
            f"mailposture: {term!r} is no result type, category, cause, pile, reason or service; {hint}", err=True
        )
        sys.exit(WRONG_USAGE)


def _explained(term: str) -> bool:
    """Print what a term means; whether it means anything to us."""
    if pile := dmarc_words.MEANINGS.get(term.strip().lower()):
        _print(
            pile.title,
            f"{pile.term} · {pile.kind} of DMARC",
            {"What it means": pile.explanation, "What to do": pile.action},
        )
    elif found := RECORD_WORDS.get(term.strip().lower()):
        _print(
            found.title,
            f"{term.strip().lower()} · of DNS records",
            {"What it means": found.explanation, "What to do": found.action},
        )
    elif service := service_named(term.strip()):
        _print(service.name, f"{service.kind} · {', '.join(service.domains)}", _about(service))
    elif meaning := explain(term):
        belongs = f"category {meaning.category} · " if meaning.category else ""
        _print(
            meaning.title,
            f"{meaning.term} · {belongs}{meaning.severity}",
            {"What it means": meaning.explanation, "What to do": meaning.action},
        )
    else:
        return False
    return True


def _about(service: Service) -> dict[str, str]:
    what = {
        ServiceKind.APPLICATION: "An application that mails in the name of its customers.",
        ServiceKind.MARKETING: "A service for newsletters and campaigns.",
        ServiceKind.PLATFORM: "A platform that programs send mail through.",
        ServiceKind.GATEWAY: "A gateway, which passes on and filters mail of its customers.",
        ServiceKind.MAILBOX: "A provider of mailboxes, which also forwards mail of others.",
        ServiceKind.HOSTING: "A hosting company, whose customers share servers.",
    }[service.kind]
    shared = " Anybody can have an account there: mail that it authenticates as itself is not yours for that alone."
    return {"What it is": what + (shared if service.kind.shared else ""), "To align its mail": service.action}


def _near(term: str) -> list[str]:
    """Known terms that look like this one."""
    terms = (*dmarc_words.MEANINGS, *RECORD_WORDS, *(service.name for service in services()))
    known = {name.casefold(): name for name in terms}
    return [known[each] for each in get_close_matches(term.casefold()[:100], known, n=2, cutoff=0.7)] or suggest(term)


def _print(title: str, below: str, parts: dict[str, str]) -> None:
    console = Console(highlight=False, soft_wrap=False, width=max(_NARROWEST, min(_WIDEST, Console().width)))
    console.print(Text(title, style="bold"))
    console.print(Text(below, style="dim"))
    for heading, words in parts.items():
        console.print(Text(f"\n{heading}", style="bold"))
        console.print(Padding(Text(words), (0, 0, 0, 2)))
