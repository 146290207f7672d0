"""Imports: what is no report is kept too, once, and within bounds."""

from __future__ import annotations

import random
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

import pytest
from ingesting import report

from collector.importing.files import find
from collector.importing.importer import Account, Importer
from collector.importing.rejected import RejectedFiles
from collector.spool import HeldMessages, HeldState, SpoolFullError
from mailposture.config.model import Spool
from reports.rejection import Reason

if TYPE_CHECKING:
    from pathlib import Path

    from engine import Storage
    from ingesting import Ingest

pytestmark = pytest.mark.slow

MAIL = b"From: friend@example.net\r\nSubject: lunch?\r\n\r\nAt noon\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "Maildir"
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    return folder


def import_(paths: list[Path], ingest: Ingest, storage: Storage, rules: Spool | None = None) -> Account:
    with closing(HeldMessages(ingest.folder, rules=rules)) if rules else nullcontext(ingest.held) as held:
        rejected = RejectedFiles(held=held, writer=ingest.writer, client=storage.client())
        importer = Importer(judge=ingest.judge, writer=ingest.writer, rejected=rejected)
        return importer.run(find(paths), on_each=lambda: None)


def rejections(storage: Storage) -> list[tuple[object, ...]]:
    return storage.ask("SELECT name, reason, held_id FROM rejections ORDER BY name")


def test_importing_again_keeps_what_is_no_report_once(folder: Path, ingest: Ingest, storage: Storage) -> None:
    for number in range(3):
        (folder / "cur" / f"{number}:2,S").write_bytes(MAIL)
    (folder / "cur" / "report").write_bytes(report())
    account = import_([folder, folder], ingest, storage)
    assert (account.reports, account.duplicates, account.rejected) == (1, 1, {Reason.NO_REPORT: 6})
    first = rejections(storage)
    assert [reason for _, reason, _ in first] == ["no-report"] * 3

    import_([folder], ingest, storage)
    assert rejections(storage) == first
    held = ingest.held.list(HeldState.REJECTED)
    assert sorted((message.envelope.name, message.reason, message.id) for message in held) == first
    assert ingest.held.get(held[0].id)[1] == MAIL


def test_rejection_that_was_interrupted_is_completed_by_the_next_import(
    folder: Path, ingest: Ingest, storage: Storage
) -> None:
    (folder / "cur" / "1").write_bytes(MAIL)
    import_([folder], ingest, storage)
    storage.client().command("TRUNCATE TABLE mailposture_tables.rejections")
    import_([folder], ingest, storage)
    assert len(rejections(storage)) == len(ingest.held.list()) == 1


def test_released_file_that_is_rejected_again_is_held_under_the_same_id(
    folder: Path, ingest: Ingest, storage: Storage
) -> None:
    (folder / "cur" / "1").write_bytes(MAIL)
    import_([folder], ingest, storage)
    (message,) = ingest.held.list()
    ingest.held.release(message.id)
    ingest.drain()
    assert [again.id for again in ingest.held.list()] == [message.id]
    assert storage.ask("SELECT held_id FROM rejections") == [(message.id,)]


def test_import_holds_no_more_than_the_configuration_allows(folder: Path, ingest: Ingest, storage: Storage) -> None:
    for number in range(40):
        (folder / "cur" / f"{number:02}").write_bytes(MAIL + random.randbytes(10_000).hex().encode())
    import_([folder], ingest, storage, Spool(keep_free=0, held_size=100_000))
    kept = ingest.queue.stats().held[HeldState.REJECTED]
    assert 50_000 < kept.bytes <= 100_000
    assert len(rejections(storage)) == 40


def test_import_stops_before_the_disk_is_full_and_can_be_run_again(
    folder: Path, ingest: Ingest, storage: Storage
) -> None:
    (folder / "cur" / "1").write_bytes(MAIL)
    (folder / "cur" / "2").write_bytes(report())
    with pytest.raises(SpoolFullError, match=r"spool\.keep_free"):
        import_([folder], ingest, storage, Spool(keep_free=1 << 60))
    assert ingest.held.list() == rejections(storage) == []
    account = import_([folder], ingest, storage)
    assert (account.reports + account.duplicates, account.rejected.total()) == (1, 1)


def test_rejections_of_a_batch_share_one_commit(folder: Path, ingest: Ingest, storage: Storage) -> None:
    for number in range(100):
        (folder / "cur" / f"{number}").write_bytes(MAIL)
    commits = []
    ingest.held._file._connection.set_trace_callback(
        lambda statement: commits.append(statement) if statement == "COMMIT" else None
    )
    import_([folder], ingest, storage)
    assert len(commits) == 1
    assert len(ingest.held.list()) == 100
