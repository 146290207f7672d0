"""Which DKIM keys of our domains `mailposture check` looks at: those that reports show in use, if a database knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.database import database
from mailposture.clickhouse.engine_files import EngineFolder
from mailposture.problems import ProblemError
from reports.dmarc.selectors import keys_in_use

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mailposture.checks.dkim import KeyInUse
    from mailposture.config.model import Config

_BY_NAME = "name keys by --selector"


def known_keys(config: Config, domains: Sequence[str]) -> tuple[dict[str, tuple[KeyInUse, ...]], str]:
    """The keys by domain, and one line that says how many they are, or why they are not known.

    The domains are of the configuration. An engine is started for this only where there are reports to ask.
    """
    try:
        if config.clickhouse.url is None and not EngineFolder(config).store.is_dir():
            return {}, f"DKIM keys in use are not known: {config.data} has no reports yet; {_BY_NAME}"
        with database(config, user=config.clickhouse.analyst_user) as client:

            def ask(sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
                return client.query(sql, parameters=dict(parameters)).result_rows

            found = keys_in_use(ask, domains)
    except (ProblemError, OSError) as error:
        return {}, f"DKIM keys in use are not known: {error}; or {_BY_NAME}"
    count = sum(map(len, found.values()))
    return found, f"DKIM keys that DMARC reports show in use: {count or f'none; {_BY_NAME}'}"
