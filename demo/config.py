"""The configuration that the demo runs on."""

import yaml

from demo.dmarc.stories import NAMED_SERVICES
from demo.domains import DOMAINS, PARKED, DemoDomain

_HEADER = """\
# The demo of mailposture: domains that do not exist (RFC 2606), and a made-up month of reports about them.
# For your own domains: mailposture init DIR --domain example.com
"""


def config_text(*, nameserver: str) -> str:
    """The demo's configuration file; `nameserver` (IP@port) knows the keys that the demo's senders sign with.

    Listeners and folders stay at their defaults; the file's folder holds the data.
    """
    settings: dict[str, object] = {
        "domains": [*map(_domain, DOMAINS), *map(_parked, PARKED)],
        "authentication": {"nameservers": [nameserver]},
        "metrics": {"refresh": "5s"},  # nobody wants to wait a minute for the first figures
        "probes": {"enabled": False},  # there is nothing outside to look at; what they would see is made up too
    }
    return _HEADER + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def _parked(domain: DemoDomain) -> dict[str, object]:
    return {"name": domain.name, "team": domain.team, "parked": True}


def _domain(domain: DemoDomain) -> dict[str, object]:
    senders: list[dict[str, object]] = [
        {"name": "own mail servers", "addresses": [domain.receiving_ip(mx) for mx in domain.mx]}
    ]
    if domain.name in NAMED_SERVICES:
        name, service = NAMED_SERVICES[domain.name]
        senders.append({"name": name, "services": [service]})
    entry: dict[str, object] = {
        "name": domain.name,
        "team": domain.team,
        "mx": list(domain.mx),
        "senders": senders,
    }
    mode = domain.sts_mode(days_ago=0)
    if mode is not None:
        entry["mta_sts"] = {"mode": mode.value, "mx": list(domain.mx)}
    return entry
