"""The one screen that `mailposture run` prints: where everything listens, what to publish, and the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from cli.summary import as_text
from demo.dmarc.stories import DMARC_STORIES
from demo.tls.stories import STORIES
from mailposture.expectation import expectation
from mailposture.records.dns_records import report_path
from mailposture.records.tls_rpt import record_name
from reports.dmarc import summary as dmarc_summary
from reports.tls.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver import Client
    from rich.console import Console

    from mailposture.config.model import Config

_DAYS = 31
_MOST_DOMAINS = 3  # whose records and addresses are shown; `mailposture records` prints the rest


def show(
    console: Console, config: Config, path: Path, *, demo: bool, log_file: Path | None, client: Client | None
) -> None:
    """Print the screen. Lines are never wrapped: records and addresses are there to be copied."""
    console.print()
    if demo:
        console.print("DEMO: made-up reports about made-up domains", style="bold yellow")
        console.print("Yours: mailposture init . --domain example.com, then start again", style="yellow")
    else:
        console.print(Text(f"mailposture runs with {path}", style="bold"))
    for heading, lines in (
        ("Listens", _listeners(config, log_file)),
        ("Publish in DNS, to be sent reports", _records(config)),
    ):
        console.print(f"\n{heading}", style="bold")
        for line in lines:
            console.print(Text(f"  {line}"), soft_wrap=True)
    console.print()
    if client is None:
        console.print(
            "ClickHouse does not answer yet; what arrives waits in the spool, and the log says more", style="red"
        )
    else:
        dmarc = dmarc_summary.summarize(client, days=_DAYS)
        console.print(as_text(summarize(client, days=_DAYS), dmarc, days=_DAYS), soft_wrap=True)
    if demo:
        for heading, stories in (("TLS", STORIES), ("mail from our domains", DMARC_STORIES)):
            console.print(f"\nStories to find again: {heading}", style="bold")
            for story in stories:
                console.print(f"  {story.domain:16} {story.headline}", soft_wrap=True)
    console.print(
        "\nAsk further: mailposture summary | sql | explain | quarantine list      Stop: Ctrl-C", soft_wrap=True
    )


def _listeners(config: Config, log_file: Path | None) -> Iterator[str]:
    if config.smtp.listen:
        yield f"SMTP          {config.smtp.listen}, for {_recipients(config)}"
    if config.smtp.lmtp:
        yield f"LMTP          {config.smtp.lmtp}"
    if config.https.listen:
        scheme = "https" if config.https.tls else "http"
        yield f"HTTPS         {scheme}://{config.https.listen}{report_path('<token of the domain>')}"
    yield f"Metrics       http://{config.metrics.collector}/metrics (collector)"
    yield f"              http://{config.metrics.exporter}/metrics (what reports say)"
    clickhouse = config.clickhouse
    if clickhouse.url:
        yield f"SQL           {clickhouse.url}, database {clickhouse.database}"
    else:
        yield f"SQL           http://{clickhouse.http} (native {clickhouse.native}), database {clickhouse.database}"
        yield f"Your Grafana  logs in there as {clickhouse.grafana_user}, with the password in"
        yield f"              {config.data / 'engine' / 'passwords' / clickhouse.grafana_user}"
        yield "              and imports dashboards/*.json: docs/existing-grafana.md"
    if log_file:
        yield f"Log           {log_file}"


def _recipients(config: Config) -> str:
    """Two addresses, of the first domain where each has its own."""
    addresses = sorted(config.accepted_recipients(), key=lambda address: (address.partition("@")[2], address))
    more = f" and {len(addresses) - 2} more" if len(addresses) > 2 else ""
    return ", ".join(addresses[:2]) + more


def _records(config: Config) -> Iterator[str]:
    """The records that ask senders for reports (RFC 8460, section 3)."""
    reported = [domain for domain in config.domains if not domain.parked]
    for domain in reported[:_MOST_DOMAINS]:
        record = expectation(config, domain).record(record_name(domain.name))
        if record is not None:
            yield f'{record.name}. IN TXT "{record.value}"'
    if len(reported) > _MOST_DOMAINS:
        yield f"({len(reported) - _MOST_DOMAINS} more: mailposture records DOMAIN)"
