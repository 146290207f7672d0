"""The folder of the embedded engine: its configuration, its data, and the passwords of its users.

engine/conf/        config.xml, users.xml and functions/ that replace ClickHouse's, written at every start
engine/passwords/   one file per user, made once; only this account can read them
engine/store/       the data
engine/engine.log   what the engine says
engine/lock         held for as long as an engine lives
engine/state.json   where it listens, if it is shared
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from mailposture.clickhouse.engine_child import NO_FILE
from mailposture.log_file import LogFile

if TYPE_CHECKING:
    from mailposture.config.model import ClickHouse, Config

_TEMPLATES = Path(__file__).parent  # links to provisioning/clickhouse, so that an installed package carries them
_DATABASES_OF_TEMPLATES = re.compile(r"(?<= ON )mailposture(?=(_tables)?\.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a ClickHouse answers, and where the passwords of its users are."""

    host: str
    http_port: int
    native_port: int | None = None  # unknown for a server: we only speak HTTP with it
    secure: bool = False
    passwords: Path | None = None

    @property
    def url(self) -> str:
        """The URL that SQL over HTTP goes to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.http_port}"


class EngineFolder:
    """The files of one data folder's engine."""

    def __init__(self, config: Config) -> None:
        self.path = config.data.absolute() / "engine"
        self.conf = self.path / "conf"
        self.functions = self.conf / "functions"
        self.store = self.path / "store"
        self.passwords = self.path / "passwords"
        self.log = self.path / "engine.log"
        self.lock = self.path / "lock"
        self.state = self.path / "state.json"

    def make(self) -> None:
        """Make the folders. Raises OSError."""
        for folder in (self.path, self.conf, self.functions, self.store, self.passwords):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def take_lock(self) -> int | None:
        """Lock the folder for an engine; None if another has it. Close the descriptor to let go. Raises OSError."""
        lock = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock

    def locked(self) -> bool:
        """Whether an engine has the folder right now. Raises OSError."""
        try:
            with self.lock.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def tidy(self) -> None:
        """Remove what an engine that was killed left behind; only for the holder of the lock. Raises OSError."""
        self.state.unlink(missing_ok=True)
        self.keep_log_small()

    def keep_log_small(self) -> None:
        """Bound what the engine says, also while it runs."""
        LogFile(self.log).keep_small()

    def write_conf(self, clickhouse: ClickHouse, *, http_port: int, native_port: int) -> None:
        """Write config.xml and users.xml from the templates, with passwords made as they are needed."""
        config = ET.parse(_TEMPLATES / "embedded.xml")  # noqa: S314
        hosts = dict.fromkeys((clickhouse.http.host, clickhouse.native.host))
        for tag, value in [
            *(("listen_host", host) for host in hosts),
            ("http_port", http_port),
            ("tcp_port", native_port),
            ("user_defined_path", self.functions),
        ]:
            ET.SubElement(config.getroot(), tag).text = str(value)
        _write(self.conf / "config.xml", ET.tostring(config.getroot(), encoding="unicode"))
        _write(self.functions / "function_file.sql", NO_FILE)
        _write(self.conf / "users.xml", ET.tostring(self._users(clickhouse), encoding="unicode"))

    def _users(self, clickhouse: ClickHouse) -> ET.Element:
        root = ET.parse(_TEMPLATES / "users.xml").getroot()  # noqa: S314
        profiles, users = root.find("profiles"), root.find("users")
        assert profiles is not None and users is not None  # noqa: PT018, S101  it is our own file
        names = {
            "mailposture_collector": clickhouse.collector_user,
            "mailposture_exporter": clickhouse.exporter_user,
            "mailposture_analyst": clickhouse.analyst_user,
            "mailposture_grafana": clickhouse.grafana_user,
        }
        for user in users:
            user.tag = names[user.tag]
            password = user.find("password")
            assert password is not None  # noqa: S101
            password.attrib.clear()
            password.tag, password.text = (
                "password_sha256_hex",
                hashlib.sha256(self.password(user.tag).encode()).hexdigest(),
            )
        for grant in root.iterfind("*/*/grants/query"):
            grant.text = _DATABASES_OF_TEMPLATES.sub(clickhouse.database, grant.text or "")
        users.append(_boot_user(profiles))
        for profile in profiles:
            _forbid_python_table_function(profile)
        return root

    def password(self, user: str) -> str:
        """The password of an SQL user, made at the first call."""
        path = self.passwords / user
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            _write(path, secrets.token_urlsafe(32) + "\n")
            return self.password(user)

    def endpoint(self) -> Endpoint | None:
        """Where the engine that was started last said it listens."""
        try:
            state = json.loads(self.state.read_text(encoding="utf-8"))
            return Endpoint(**{**state, "passwords": self.passwords})
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write_state(self, endpoint: Endpoint) -> None:
        """Note where the engine listens, for other processes to find it."""
        state = {name: value for name, value in asdict(endpoint).items() if name != "passwords"}
        _write(self.state, json.dumps(state))


def _boot_user(profiles: ET.Element) -> ET.Element:
    """The user of the session that opens the listeners.

    It must be `default` and have no password. That session lasts as long as the engine, and no second one is allowed:
    so nobody can log in as this user.
    """
    ET.SubElement(profiles, "default")
    profile = ET.SubElement(profiles, "boot")
    ET.SubElement(profile, "max_sessions_for_user").text = "1"
    ET.SubElement(profile, "max_execution_time").text = "0"
    ET.SubElement(ET.SubElement(ET.SubElement(profile, "constraints"), "max_sessions_for_user"), "const")
    return ET.fromstring(  # noqa: S314
        """
        <default>
            <password/>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>boot</profile>
            <quota>mailposture</quota>
            <grants>
                <query>GRANT SYSTEM LISTEN, CREATE TEMPORARY TABLE ON *.*</query>
                <query>GRANT READ ON FILE</query>
            </grants>
        </default>
        """
    )


def _forbid_python_table_function(profile: ET.Element) -> None:
    """A setting of the embedded engine only. `SELECT * FROM python(x)` would end its process."""
    ET.SubElement(profile, "allow_python_table_function").text = "0"
    constraints = profile.find("constraints")
    if constraints is None:
        constraints = ET.SubElement(profile, "constraints")
    ET.SubElement(ET.SubElement(constraints, "allow_python_table_function"), "const")


def _write(path: Path, text: str) -> None:
    """Replace a file at once, readable by this account only."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
