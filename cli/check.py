"""`mailposture check`: what senders see, and what to do about it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.check_mailboxes import check_mailboxes
from cli.exit_codes import DONE, FAILED
from cli.options import config_path_option, find_config, named_domain
from cli.vantage import looking_from, nameserver_option
from mailposture.checks.dkim import KeyInUse
from mailposture.checks.outside import OutsideView, for_each, look_at
from mailposture.checks.port25 import Port25
from mailposture.checks.reason import Reason
from mailposture.checks.result import CheckResult, Outcome
from mailposture.config.model import Config, Probes
from mailposture.domain_names import normalize
from mailposture.expectation import Expectation, expectation
from mailposture.problems import ConfigError
from reports.configuration import load_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mailposture.checks.vantage import Vantage

_LONGEST_CHECK = len("dmarc-authorization")
_COLOURS = {Outcome.GOOD: "green", Outcome.WRONG: "red", Outcome.MISSING: "yellow", Outcome.UNKNOWN: "cyan"}


@click.command()
@config_path_option
@click.argument("domains", nargs=-1)
@click.option("--selector", "selectors", multiple=True, help="Also look at this DKIM key of DOMAIN; may be repeated.")
@nameserver_option
@click.option("--mailboxes", is_flag=True, help="Instead, try each mailbox that reports are read from.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    *,
    config_path: Path | None,
    domains: tuple[str, ...],
    selectors: tuple[str, ...],
    nameservers: tuple[str, ...],
    mailboxes: bool,
    format_: str,
) -> None:
    """Look at DOMAINs from outside, as sending servers do, and say per record what is good, wrong or missing, and why.

    Without DOMAIN, all configured domains. Domains that are not configured can be checked too; for those that are, the
    findings are also compared with the configuration. Looks at MX, _smtp._tls, _mta-sts, the MTA-STS policy, STARTTLS
    and certificate of each MX server, TLSA, SPF, DMARC, the DKIM keys of configured domains that DMARC reports in the
    database show in use, and those that --selector names. Sends no mail.

    With --mailboxes, logs in to each mailbox of the configuration and reads one mail; nothing is changed in it.

    Exit codes: 0 nothing is wrong or missing, 1 something is or no nameserver answers, 2 wrong usage. MX servers that
    cannot be seen from here (outbound port 25 is closed in most clouds) are `unknown`, and not counted as wrong.
    """
    if mailboxes:
        if domains or selectors or nameservers:
            raise click.UsageError("--mailboxes looks at no domain; leave out the rest")
        check_mailboxes(config_path, as_json=format_ == "json")
    config = _config(config_path)
    expectations = _expectations(config, domains)
    vantage = looking_from(config.probes if config else Probes(), nameservers)
    keys, known = _keys(config, expectations, selectors)
    if known:
        click.echo(known, err=True)
    results = asyncio.run(_check_all(expectations, vantage, keys))
    click.echo(_as_json(results) if format_ == "json" else _as_text(results))
    raise SystemExit(FAILED if any(_counts(one) for found in results.values() for one in found) else DONE)


def _counts(result: CheckResult) -> bool:
    """Whether a finding makes the command fail; without DNS nothing was checked, and that is no success either."""
    return result.outcome in {Outcome.WRONG, Outcome.MISSING} or result.reason in {Reason.DNS_ERROR, Reason.BROKEN}


def _config(path: Path | None) -> Config | None:
    """The configuration; none is needed to look at a domain, but one that is named must be there."""
    try:
        found = find_config(path)
    except ConfigError:
        return None
    return load_config(found)


def _expectations(config: Config | None, names: Sequence[str]) -> list[Expectation]:
    """What is expected of the domains to check, each once; of those that are not ours nothing is known."""
    ours = {domain.name: domain for domain in config.domains} if config else {}
    wanted = dict.fromkeys(map(named_domain, names)) or ours
    if not wanted:
        raise click.UsageError("name a DOMAIN, or a configuration by --config")
    return [expectation(config, ours[name]) if config and name in ours else Expectation(domain=name) for name in wanted]


def _keys(
    config: Config | None, expectations: Sequence[Expectation], selectors: Sequence[str]
) -> tuple[dict[str, tuple[KeyInUse, ...]], str]:
    """The keys to look at, by domain: those that are named, then those in use; and a line about the latter."""
    for selector in selectors:
        if normalize(selector) is None:
            raise click.UsageError(f"{selector!r} is no selector; write what stands in s= of a signature")
    wanted = [expected.domain for expected in expectations]
    ours = [name for name in wanted if name in config.by_name] if config else []
    in_use: dict[str, tuple[KeyInUse, ...]] = {}
    known = ""
    if config and ours:
        from cli.keys_in_use import known_keys  # noqa: PLC0415  nobody waits for a database that is not asked

        in_use, known = known_keys(config, ours)
    keys = {}
    for name in wanted:
        named = (KeyInUse(domain=name, selector=selector.lower()) for selector in selectors)
        # Reports know of a key whether it is still in use, so what they say of one that is named too stands.
        both = {(key.domain, key.selector): key for key in (*named, *in_use.get(name, ()))}
        keys[name] = tuple(both.values())
    return keys, known


async def _check_all(
    expectations: Sequence[Expectation], vantage: Vantage, keys: Mapping[str, Sequence[KeyInUse]]
) -> dict[str, tuple[CheckResult, ...]]:
    """The findings by domain. Servers are judged when all have been looked at: one that answers proves the way out."""
    port_25 = Port25()

    async def look(expected: Expectation) -> OutsideView | CheckResult:
        view = await look_at(expected, vantage=vantage, keys=keys[expected.domain])
        port_25.note(view.servers.probes if view.servers else ())
        return view

    found = await for_each(expectations, look, broken=lambda _, result: result)
    return {
        expected.domain: view.results(port_25=port_25) if isinstance(view, OutsideView) else (view,)
        for expected, view in zip(expectations, found, strict=True)
    }


def _as_json(results: Mapping[str, Sequence[CheckResult]]) -> str:
    return json.dumps(
        [{"domain": domain, **asdict(one)} for domain, found in results.items() for one in found], indent=2
    )


def _as_text(results: Mapping[str, Sequence[CheckResult]]) -> str:
    lines: list[str] = []
    for domain, found in results.items():
        lines += ["", click.style(domain, bold=True)]
        for one in found:
            shown = click.style(f"{one.outcome:<8}", fg=_COLOURS[one.outcome])
            subject = "" if one.subject == domain else f"{one.subject}: "
            lines.append(f"  {shown}{one.check:<{_LONGEST_CHECK}} {subject}{one.detail}")
            if one.instruction:
                lines.append(f"{'':{_LONGEST_CHECK + 11}}-> {one.instruction}")
    counted = Counter(one.outcome for found in results.values() for one in found)
    said = ", ".join(f"{counted[outcome]} {outcome}" for outcome in Outcome if counted[outcome])
    lines += ["", f"{len(results)} {'domain' if len(results) == 1 else 'domains'}: {said}"]
    return "\n".join(lines[1:])
