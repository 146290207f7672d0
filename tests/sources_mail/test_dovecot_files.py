"""Files that a real Dovecot wrote: compressed Maildirs are read, and what is not read is exported as we say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from importing import dmarc, imported, mail, tls
from programs import needs, program
from sources_mail.conftest import is_2_3

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    needs("doveadm", "dovecot"),
    pytest.mark.skipif(os.geteuid() != 0, reason="mails are saved as nobody, which only root may become"),
]
CONFIGURATION = """
base_dir = {home}/run
log_path = {home}/log
ssl = no
protocols =
mail_plugins = zlib
first_valid_uid = 1
mail_uid = nobody
mail_gid = nogroup
"""


class Store:
    """A mail store of Dovecot's, in whatever form."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "dovecot.conf").write_text(CONFIGURATION.format(home=home))
        shutil.chown(home, "nobody", "nogroup")

    def doveadm(self, location: str, *command: str, given: bytes = b"", zlib: str = "") -> None:
        save = ["-o", f"plugin/zlib_save={zlib}"] if zlib else []
        subprocess.run(
            [program("doveadm"), "-c", self.home / "dovecot.conf", "-o", f"mail_location={location}", *save, *command],
            input=given,
            env={"HOME": str(self.home), "USER": "nobody", "PATH": os.environ["PATH"]},
            user="nobody",
            group="nogroup",
            extra_groups=[],
            check=True,
            timeout=60,
        )


@pytest.fixture
def store() -> Iterator[Store]:
    if not is_2_3():
        pytest.skip("written in the words of Dovecot 2.3")
    home = Path(tempfile.mkdtemp(prefix="dovecot-"))
    home.chmod(0o755)
    yield Store(home)
    shutil.rmtree(home)


@pytest.mark.parametrize("compression", ["gz", "bz2", "zstd", "lz4"])
def test_a_maildir_that_dovecot_compressed_is_read(store: Store, compression: str) -> None:
    large = mail(os.urandom(300_000), name="noise")  # more than a chunk of its LZ4
    for content in (mail(tls("a")), mail(dmarc("x"), name="x.xml"), large):
        store.doveadm(f"maildir:{store.home}/M", "save", "-m", "INBOX", given=content, zlib=compression)
    result = imported(store.home / "M")
    assert sorted(result.reports) == ["a", "x"]
    assert len(result.faults) == 1, "what is no report"
    assert result.passed_over > 3


@pytest.mark.parametrize("form", ["mdbox", "sdbox"])
def test_what_is_said_to_export_a_dbox_exports_it(store: Store, form: str) -> None:
    for content in (mail(tls("a")), mail(tls("b"))):
        store.doveadm(f"{form}:{store.home}/D", "save", "-m", "INBOX", given=content)
    said = set(imported(store.home / "D").faults.values())
    (command,) = {re.findall(r"`doveadm (.*?)`", one)[0] for one in said}
    words = command.replace(" -u USER", "").replace("FOLDER", f"{store.home}/exported").split()
    store.doveadm(f"{form}:{store.home}/D", *words)
    result = imported(store.home / "exported")
    assert (sorted(result.reports), result.faults) == (["a", "b"], {})
