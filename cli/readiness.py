"""`mailposture readiness`: may a domain's MTA-STS policy go to mode enforce, its DMARC policy be stricter?"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.database import database
from cli.dmarc_readiness import as_text as dmarc_as_text
from cli.exit_codes import DONE, FAILED
from cli.options import configured_domain, with_config
from cli.vantage import looking_from, nameserver_option
from mailposture.checks.outside import look_at
from mailposture.checks.port25 import Port25
from mailposture.checks.result import Outcome
from mailposture.config.domains import PolicyMode
from mailposture.expectation import expectation
from mailposture.problems import ProblemError
from mailposture.quoting import quoted
from reports.dmarc import readiness as dmarc_readiness
from reports.tls.readiness import Probed, Readiness, Verdict, read_readiness, with_what_is_seen

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.checks.result import CheckResult
    from mailposture.checks.vantage import Vantage
    from mailposture.config.model import Config
    from mailposture.expectation import Expectation

_MAY_ENFORCE = {
    Verdict.READY: "ready for MTA-STS mode enforce",
    Verdict.NOT_READY: "not ready for MTA-STS mode enforce",
    Verdict.TOO_LITTLE_EVIDENCE: "too little evidence to say that it is ready for MTA-STS mode enforce",
    Verdict.PARKED: "parked: it takes no mail, so there is nothing to enforce",
}
_ENFORCES = {
    Verdict.READY: "enforces MTA-STS, and nothing speaks against it",
    Verdict.NOT_READY: "enforces MTA-STS, and is not fit for it",
    Verdict.TOO_LITTLE_EVIDENCE: "enforces MTA-STS; too little evidence to say that it is fit for it",
}
_FINE = {Verdict.READY, Verdict.PARKED}
_VERDICT_COLOURS = {
    Verdict.READY: "green",
    Verdict.PARKED: "green",
    Verdict.NOT_READY: "red",
    Verdict.TOO_LITTLE_EVIDENCE: "yellow",
}
_COLOURS = {Outcome.GOOD: "green", Outcome.WRONG: "red", Outcome.MISSING: "red", Outcome.UNKNOWN: "cyan"}


@click.command()
@with_config
@click.argument("domain")
@click.option("--days", type=click.IntRange(1, 400), default=30, show_default=True, help="Report days to list.")
@nameserver_option
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(config: Config, domain: str, days: int, nameservers: tuple[str, ...], format_: str) -> None:
    """Check whether the MTA-STS policy of DOMAIN may go to mode enforce, and its DMARC policy to quarantine or reject.

    Weighs what senders reported under the policy in the last 30 report days (who would have been refused, and how many
    looked at all) with what is seen from here now: whether record, policy, MX and servers agree. Lists what would have
    been refused by cause and sender, over --days. Mail from which somebody in the path likely removed STARTTLS does not
    speak against mode enforce, which protects it. Sends no mail. Looks at nothing outside if probes.enabled is false.

    Below, if there are DMARC reports: whether the next policy is safe, what it would refuse of mail of yours and of
    forwarded mail, by source, and which unknown sources may be yours.

    Exit codes: 0 ready for all of it, or parked, 1 not ready or too little evidence, 2 wrong usage.
    """
    ours = configured_domain(config, domain)
    expected = expectation(config, ours)
    vantage = looking_from(config.probes, nameservers)
    with database(config, user=config.clickhouse.analyst_user) as client:
        dmarc = dmarc_readiness.read_readiness(client, ours.name)
        readiness = (
            Readiness(policy_domain=ours.name, verdict=Verdict.PARKED, reasons=())
            if expected.parked
            else _reported(client, ours.name, days=days)
        )
    if config.probes.enabled and not expected.parked:
        readiness = with_what_is_seen(readiness, asyncio.run(_look(expected, vantage)))
    enforced = PolicyMode.ENFORCE in {readiness.last_mode, ours.mta_sts and ours.mta_sts.mode}
    if format_ == "json":
        record = {**asdict(readiness), "dmarc": asdict(dmarc) if dmarc else None}
        click.echo(json.dumps(record, indent=2))
    else:
        click.echo(_as_text(readiness, days=days, enforced=enforced))
        if dmarc:
            click.echo(f"\n{dmarc_as_text(ours.name, dmarc)}")
    fine = readiness.verdict in _FINE and (dmarc is None or dmarc.ready)
    raise SystemExit(DONE if fine else FAILED)


def _reported(client: Client, domain: str, *, days: int) -> Readiness:
    readiness = read_readiness(client, domain, days=days)
    if readiness is None:
        raise ProblemError(f"{domain}: the database does not know the domain yet; start the collector once")
    return readiness


async def _look(expected: Expectation, vantage: Vantage) -> tuple[CheckResult, ...]:
    port_25 = Port25()
    view = await look_at(expected, vantage=vantage)
    port_25.note(view.servers.probes if view.servers else ())
    return view.results(port_25=port_25)


def _as_text(readiness: Readiness, *, days: int, enforced: bool) -> str:
    verdict = (_ENFORCES if enforced else _MAY_ENFORCE)[readiness.verdict]
    shown = click.style(verdict, fg=_VERDICT_COLOURS[readiness.verdict])
    lines = [f"{click.style(readiness.policy_domain, bold=True)}: {shown}"]
    lines += [f"  - {_printable(reason)}" for reason in readiness.reasons]
    if readiness.sessions:
        lines += [
            "",
            f"Senders that looked at the policy: {readiness.reporters}, on {readiness.days} of the last 30 report "
            f"days; the last mode they saw: {readiness.last_mode or 'none'}",
        ]
    if readiness.refused:
        lines += ["", f"What mode enforce refuses, in sessions of the last {days} report days:"]
        lines += [f"  {one.sessions:>8}  {_printable(one.result_type):<28}{_printable(one.sender)}"
                  for one in readiness.refused]  # fmt: skip
    if readiness.probed:
        lines += ["", "Our probes of the last 7 days:"]
        lines += [f"  {one.receiving_mx}: {_how_it_went(one)}" for one in readiness.probed]
    if readiness.seen:
        lines += ["", "Seen from here now:"]
    for result in readiness.seen:
        lines.append(
            f"  {click.style(f'{result.outcome:<8}', fg=_COLOURS[result.outcome])}{result.check:<16}{result.detail}"
        )
        if result.instruction:
            lines.append(f"{'':26}-> {result.instruction}")
    if enforced and readiness.verdict is Verdict.NOT_READY:
        lines += [
            "",
            "Mode enforce has senders refuse mail for such causes: fix them (`mailposture explain CAUSE` says how).",
        ]
    elif not enforced and readiness.verdict is Verdict.READY:
        lines += ["", f"Set mta_sts.mode: enforce; `mailposture policy {readiness.policy_domain}` leads the way."]
    return "\n".join(lines)


def _how_it_went(probed: Probed) -> str:
    if not probed.probes:
        return "cannot be seen from the exporter (outbound port 25 is closed there)"
    return f"nothing wrong in {probed.successes} of {probed.probes}"


def _printable(text: str) -> str:
    """Words of a sender, safe for a terminal."""
    return text if text.isprintable() else quoted(text)
