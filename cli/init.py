"""`mailposture init`: a commented configuration and a data folder that work at once."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

import click

from cli.exit_codes import WRONG_USAGE
from cli.options import CONFIG_NAME, NamedPath
from mailposture.domain_names import mail_domain
from mailposture.problems import ConfigError
from reports.configuration import load_config

_READABLE = NamedPath(exists=True, dir_okay=False, path_type=Path)

_DOMAIN = """\
  - name: {name}
    # The hosts that receive mail for the domain (its MX records); DANE reports name these instead of the domain.
    # Hosts below the domain need no mention.
    # mx: [mx1.provider.example, "*.mail.provider.example"]
    # Who looks after it: alerts are routed by this.
    team: mail
    # Part of the address for reports by HTTPS. It will be in public DNS: a post proves nothing about who sent it.
    token: {token}
    # parked: false           # true: takes no mail and sends none (docs/parked.md)
    # posts_count: false      # true: posts start and end alerts, so anyone can page you; if you receive by HTTPS only
    # When failures deserve attention.
    thresholds:
      failure_ratio: 0.05     # more than this share of the sessions failed
      minimum_sessions: 20    # and at least this many did
      stale_after: 3d         # the newest report day is older than this
    # Causes that are known and alert nobody until a day; `mailposture acknowledge` does the same at once.
    # acknowledged:
    #   - cause: certificate          # as `mailposture summary --format json` names it
    #     subject: mx2.{name}         # a server, sender or record; all of them if absent
    #     until: 2030-12-24
    #     because: the provider renews it before Christmas
    # Who sends mail in the domain's name, if reports do not show it (docs/dmarc.md).
    # senders:
    #   - name: Billing server
    #     addresses: [203.0.113.25]
    #   - name: Newsletter
    #     services: [Mailchimp]       # `mailposture explain senders` lists them
    #   - name: Vendor
    #     domains: [vendor.example]   # that its mail passes SPF or DKIM for
    # The MTA-STS policy that `mailposture policy-host` serves for the domain (RFC 8461).
    # mta_sts:
    #   mode: testing         # enforce once `mailposture readiness` says so
    #   mx: [mx1.{name}]
    #   max_age: 1209600      # seconds; weeks are advised
"""

_DOMAINS_IN_FILE = """\
  # A domain per line; what stands here is the same for all of them.
  - file: {path}
    team: mail
"""
_PARKED = """\
  # Domains that neither take nor send mail: whatever is sent in their name is forged (docs/parked.md).
  - {names}
    parked: true
    team: mail
"""

_FILE = """\
# Configuration of mailposture. Each value that is commented out is the default.
# Durations: 90s, 15m, 6h, 3d, 2w. Sizes: 64k, 50m, 2g. Relative paths start at this file's folder.

# The domains that are yours; reports about any other domain are rejected. Each has an entry (`name`), or several share
# one: `names: [a.example, b.example]`, or `file: domains.txt` with a domain per line. After a change send SIGHUP.
domains:
{domains}
# The addresses that reports are mailed to (rua= of the _smtp._tls and _dmarc records); tlsrpt@ and dmarc@<each
# domain> if absent.
# recipients: [tlsrpt@reports.example.com]

# Everything that must survive: the spool, the engine's data and its passwords.
data: data

# Reports by mail. Behind a mail server: route the recipients here (docs/receiving.md has the lines for Postfix).
# As the MX of a subdomain of its own: listen on 0.0.0.0:25.
smtp:
  listen: 127.0.0.1:2525
  # proxies: [10.0.3.0/28]    # from there every connection begins with a PROXY protocol header (HAProxy: send-proxy)
  # mx: true                  # no other mail server stands before it: then SPF proves senders of DMARC reports too
  # lmtp: 127.0.0.1:2424
  # hostname: reports.example.com
  # tls:                      # STARTTLS; files are read again when they change
  #   certificate: /etc/letsencrypt/live/reports.example.com/fullchain.pem
  #   key: /etc/letsencrypt/live/reports.example.com/privkey.pem
  # limits: {{message_size: 50m, connections: 500, connections_per_client: 100, idle: 60s, session: 10m}}

# Reports by HTTPS POST. Without tls: plain HTTP, for a proxy in front.
https:
  listen: 127.0.0.1:8460
  # proxies: [127.0.0.0/8, "::1"]             # what comes from there names its client in X-Forwarded-For
  # public_url: https://reports.example.com   # how senders reach it; printed in the DNS record
  # tls: {{certificate: fullchain.pem, key: privkey.pem}}

# Mailboxes to read; a mail is moved only once it is durable here.
# imap:
#   - host: imap.example.com
#     user: tlsrpt
#     address: tlsrpt@example.com   # that reports are mailed to, as `mailposture records` prints; else `user`
#     password_file: imap-password
#     tls: true               # from the start; starttls: on port 143
#     processed: mailposture/processed   # where reports go; mailposture/{{kind}}: a folder per kind; null: they stay
#     trusted: false          # true: your mail server has checked DKIM, accept what is in the mailbox
# maildir:
#   - path: /var/mail/tlsrpt/Maildir   # of a mail server on this machine
#     address: tlsrpt@example.com
# Microsoft 365 and Gmail take no password: `oauth` instead, by IMAP or by Microsoft Graph (docs/mailboxes.md)

# Reports by mail without a valid DKIM signature of the reporting domain wait in quarantine.
# authentication:
#   nameservers: []           # the system's resolver if empty
#   accepted_authors: [reporter.example]   # DMARC reports accepted by From alone; they count in no alert

# Names of addresses that send mail in our name (docs/dmarc.md): from DNS, which then sees who does, and from a file.
# source_names:
#   reverse_dns: false
#   networks: asn.mmdb        # an MMDB file of autonomous systems

# Where rows go. Without url: the embedded engine, listening here for your Grafana and your SQL.
# clickhouse:
#   url: https://clickhouse.example.com:8443
#   passwords: /run/secrets   # a file per user: mailposture_collector, mailposture_exporter, …
#   cluster: my_cluster
#   http: 127.0.0.1:18123
#   native: 127.0.0.1:19000
#   retention: 7300d          # older report days are deleted, and rejected when they arrive

# The weekly digest by mail, sent by the exporter (docs/digest.md); `mailposture digest` prints it without this.
# digest:
#   sender: mailposture@example.com
#   recipients: [postmaster@example.com]      # get it of all domains
#   teams: {{web: [web@example.com]}}           # get it of the domains of their team
#   day: monday
#   hour: 8
#   time_zone: Europe/Berlin
#   grafana_url: https://grafana.example.com  # where its links lead
#   smtp:
#     host: mail.example.com
#     tls: starttls           # on port 587; true: from the start, on port 465; false: on port 25
#     user: mailposture@example.com
#     password_file: smtp-password

# Where Prometheus scrapes.
metrics:
  collector: 127.0.0.1:9465
  exporter: 127.0.0.1:9466
"""


@click.command()
@click.argument("folder", metavar="DIR", type=NamedPath(file_okay=False, path_type=Path))
@click.option("--domain", "domains", multiple=True, help="A domain of yours; repeat for more.")
@click.option("--domains-file", type=_READABLE, help="A file with such domains, one per line.")
@click.option("--parked", multiple=True, help="A domain of yours that neither takes nor sends mail; repeat for more.")
@click.option("--parked-file", type=_READABLE, help="A file with such domains, one per line.")
def command(
    folder: Path,
    *,
    domains: tuple[str, ...],
    domains_file: Path | None,
    parked: tuple[str, ...],
    parked_file: Path | None,
) -> None:
    """Write a commented configuration and a data folder in DIR, ready to use on the embedded engine.

    Files of domains are named in the configuration and stay where they are: a domain is added by a line in them.

    \b
    Example:
      mailposture init . --domain example.com --domain example.org --parked example.net
      mailposture run
    """
    path = folder / CONFIG_NAME
    names, mistakes = _read("--domain", domains)
    parked_names, more = _read("--parked", parked)
    mistakes += more
    if not names and domains_file is None and not mistakes:
        about = ", to which reports about parked ones go" if parked or parked_file else ""
        mistakes.append(f"name a domain of yours that takes mail{about}: --domain example.com, or --domains-file FILE")
    if os.path.lexists(path):
        mistakes.append(f"{path}: exists already and is left as it is; edit it, or remove it and try again")
    if mistakes:
        click.echo("\n".join(mistakes), err=True)
        sys.exit(WRONG_USAGE)
    entries = "".join(_DOMAIN.format(name=name, token=secrets.token_urlsafe(24)) for name in names)
    if domains_file is not None:
        entries += _DOMAINS_IN_FILE.format(path=_from(folder, domains_file))
    if parked_names:
        listed = "".join(f"\n      - {name}" for name in parked_names)
        entries += _PARKED.format(names=f"names:{listed}")
    if parked_file is not None:
        entries += _PARKED.format(names=f"file: {_from(folder, parked_file)}")
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        _write(path, _FILE.format(domains=entries))
    except OSError as error:
        where = error.filename or path
        click.echo(f"{where}: cannot be written ({error.strerror}); choose a folder that takes it", err=True)
        sys.exit(WRONG_USAGE)
    try:
        load_config(path)  # what we wrote must be what we read, and files of domains are read for the first time
    except ConfigError:
        path.unlink()
        raise
    click.echo(f"Wrote {path}. Next: mailposture run --config {path}")


def _from(folder: Path, file: Path) -> str:
    """A path as the configuration in a folder names it, quoted for YAML."""
    inside = file.resolve().is_relative_to(folder.resolve())
    return json.dumps(str(file.resolve().relative_to(folder.resolve()) if inside else file.resolve()))


def _write(path: Path, text: str) -> None:
    """Make a file that is not there yet, whole or not at all; raises OSError."""
    # The tokens in it are secrets.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        path.unlink()
        raise


def _read(option: str, domains: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The names in their normal form, each once, and what is wrong with those that are none."""
    names, mistakes = dict[str, None](), []
    for domain in domains:
        try:
            names[mail_domain(domain)] = None
        except ValueError as error:
            mistakes.append(f"{option}: {error}")
    return list(names), mistakes
