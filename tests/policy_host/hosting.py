"""Policy hosts for tests: a configuration with three domains, and one that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from ports import free_port

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from pki import Issued

    from policy_host.service import PolicyHost

ENFORCED = {
    "name": "enforced.example",
    "mx": ["mx1.enforced.example", "*.backup.example"],
    "mta_sts": {"mode": "enforce"},
}
TESTED = {"name": "tested.example", "mta_sts": {"mode": "testing", "mx": ["mx.tested.example"], "max_age": 86400}}
PLAIN = {"name": "plain.example"}


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running policy host and where it listens."""

    host: PolicyHost
    config_path: Path
    port: int
    metrics_port: int

    def rewrite(self, **sections: Any) -> None:
        """Change keys of the configuration file."""
        values = yaml.safe_load(self.config_path.read_text())
        self.config_path.write_text(yaml.safe_dump({**values, **sections}))


def write_config(folder: Path, *, tls: tuple[Issued, ...] = ()) -> tuple[Path, int, int]:
    """A configuration with three domains, and the ports it names."""
    port, metrics_port = free_port(), free_port()
    section = {
        "listen": f"127.0.0.1:{port}",
        "metrics": f"127.0.0.1:{metrics_port}",
        "tls": [{"certificate": str(one.certificate), "key": str(one.key)} for one in tls],
    }
    path = folder / "mailposture.yaml"
    path.write_text(yaml.safe_dump({"domains": [ENFORCED, TESTED, PLAIN], "policy_host": section}))
    return path, port, metrics_port
