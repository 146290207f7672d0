"""Programs that tests start, and the Debian packages that hold them.

A test whose program is missing is skipped, with the package in the reason. As a script, this prints the packages of all
missing programs; `.ci/install-programs` installs them.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "caddy": "caddy",
    "curl": "curl",
    "doveadm": "dovecot-core",
    "dovecot": "dovecot-imapd",
    "git": "git",
    "haproxy": "haproxy",
    "libfaketime.so.1": "libfaketime",
    "opendkim": "opendkim",
    "postfix": "postfix",
    "postconf": "postfix",
    "postmap": "postfix",
    "postqueue": "postfix",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "swaks": "swaks",
}
NOT_IN_DEBIAN = {"terraform"}


def found(name: str) -> str | None:
    """The path of a program, also of one for administrators only, or of a library; None if it is not here."""
    if ".so" in name:
        return next(map(str, Path("/usr/lib").glob(f"*/*/{name}")), None)
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))


def program(name: str) -> str:
    """The path of a program for a test to start; skips the test where it is missing."""
    import pytest  # noqa: PLC0415  as a script this runs before pytest is installed

    return found(name) or pytest.skip(_why_not(name))


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test before its fixtures have begun, if one of the programs is missing."""
    import pytest  # noqa: PLC0415

    missing = [_why_not(name) for name in names if not found(name)]
    return pytest.mark.skipif(bool(missing), reason="; ".join(missing))


def _why_not(name: str) -> str:
    if name in NOT_IN_DEBIAN:
        return f"{name} is missing, and not packaged by Debian"
    return f"{name} is missing: apt-get install {PACKAGES[name]}"


if __name__ == "__main__":
    missing_packages = {package for name, package in PACKAGES.items() if not found(name)}
    sys.stdout.write(" ".join(sorted(missing_packages)))
