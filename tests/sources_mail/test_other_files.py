"""What else people have on disk: compressed mailboxes, archives of archives, litter, what is not read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import lz4.block
import lz4.frame
import pyarrow as pa
import pytest
from importing import dmarc, imported, mail, tls

from collector.documents.limits import LIMITS, MIB
from collector.importing.files import find
from reports.rejection import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

A, B, X = tls("a"), tls("b"), dmarc("x")


def _dovecot_lz4(content: bytes) -> bytes:
    """As Dovecot's ostream-lz4 writes it: chunks of 64 KiB."""
    written = b"Dovecot-LZ4\x0d\x2a\x9b\xc5" + struct.pack(">I", 65_536)
    for at in range(0, len(content), 65_536):
        chunk = lz4.block.compress(content[at : at + 65_536], store_size=False)
        written += struct.pack(">I", len(chunk)) + chunk
    return written


def _zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "LZ4": lz4.frame.compress,
    "LZ4 by Dovecot": _dovecot_lz4,
    "Zstandard": _zstd,
}


def _tar(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_compressed_maildir_is_read(tmp_path: Path, name: str) -> None:
    for folder in ("cur", "new", "tmp"):
        (tmp_path / folder).mkdir()
    large = mail(os.urandom(200_000), name="noise")
    for number, content in enumerate((mail(A), mail(X, name="x.xml"), large)):
        (tmp_path / "cur" / f"{number}.host:2,S").write_bytes(COMPRESSIONS[name](content))
    assert imported(tmp_path).reports == ["a", "x"]
    assert large in [found.body for found in find([tmp_path])]


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed_files_in_a_row_are_all_read(tmp_path: Path, name: str) -> None:
    row = COMPRESSIONS[name](A) + COMPRESSIONS[name](B)
    (tmp_path / "row").write_bytes(row)
    result = imported(tmp_path)
    if name == "LZ4 by Dovecot":  # one mail in a file, always
        assert [fault.rpartition(": ")[0] for fault in result.faults.values()] == [f"{name} is damaged or truncated"]
    else:
        assert (result.reports, result.faults) == (["a", "b"], {})


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    packed = COMPRESSIONS[name](mail(os.urandom(3_000)))
    (tmp_path / "truncated").write_bytes(packed[:-9])
    if not name.startswith("LZ4"):  # has no checksum of its own
        (tmp_path / "damaged").write_bytes(packed[:25] + b"\xff" * 30 + packed[55:])
    for found in find([tmp_path]):
        assert found.fault is not None
        assert found.fault.reason is Reason.BAD_COMPRESSION
        assert found.fault.detail.startswith(f"{name} is damaged or truncated: ")


@pytest.mark.parametrize("name", [name for name in COMPRESSIONS if name != "LZ4 by Dovecot"])
def test_a_bomb_ends_early(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "collector.importing.unpacking.LIMITS", replace(LIMITS, unpacked_bytes=MIB, compression_ratio=50)
    )
    (tmp_path / "bomb").write_bytes(COMPRESSIONS[name](b"From a 10:00 2026\nX: y\n\n" + b"\0" * 8 * MIB))
    faults = [found.fault.reason for found in find([tmp_path]) if found.fault]
    assert faults == [Reason.TOO_LARGE]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["", *COMPRESSIONS])
def test_tar_yields_each_member(tmp_path: Path, form: int, name: str) -> None:
    members = {"2026/a.json": A, "2026/x.xml.gz": gzip.compress(X), "mail/b.eml": mail(B), "empty/": b""}
    content = _tar(members, form) if not name else COMPRESSIONS[name](_tar(members, form))
    (tmp_path / "reports.tar").write_bytes(content)
    result = imported(tmp_path)
    assert result.reports == ["a", "x", "b"]


def test_tars_in_a_row_are_all_read(tmp_path: Path) -> None:
    (tmp_path / "row.tar").write_bytes(_tar({"a.json": A}) + _tar({"b.json": B}) + b"end")
    result = imported(tmp_path)
    assert result.reports == ["a", "b"]
    assert [name.rpartition("!")[2] for name in result.faults] == ["rest"]


def test_truncated_tar_keeps_what_came_before(tmp_path: Path) -> None:
    packed = _tar({"a.json": A, "b.json": B * 50})
    (tmp_path / "cut.tar").write_bytes(packed[:4_000])
    result = imported(tmp_path)
    assert result.reports[0] == "a"
    assert f"{tmp_path / 'cut.tar'}!b.json" in result.faults


BLOCK = tarfile.BLOCKSIZE


@pytest.mark.parametrize(
    ("content", "reports", "fault"),
    [
        (lambda a, b: _tar({"a": a})[: 2 * BLOCK + len(a) // BLOCK * BLOCK], ["a"], "no end"),
        (lambda a, b: (tar := _tar({"a": a, "b": b}))[: tar.index(b"b\0\0") + 200], ["a"], "no end"),
        (lambda a, b: _tar({"a": a})[: 2 * BLOCK + len(a) // BLOCK * BLOCK] + b, ["a", "b"], None),
        (lambda a, b: _zip({"a": a}) + _zip({"b": b}), ["a", "b"], None),
        (lambda a, b: _zip({"a": a}) + gzip.compress(b), ["a", "b"], None),
        (lambda a, b: _zip({}) + b, ["b"], None),
        (lambda a, b: _zip({"a": a}) + bytes(1000), ["a"], None),
        (lambda a, b: b"%d\n%b<?xml version='1.0'?><plist></plist>\n" % (len(mail(a)), mail(a)) * 2, ["a"], "divide"),
    ],
)
def test_what_follows_or_is_cut_off_is_not_lost_in_silence(
    tmp_path: Path, content: Callable[[bytes, bytes], bytes], reports: list[str], fault: str | None
) -> None:
    (tmp_path / "file").write_bytes(content(A, B))
    result = imported(tmp_path)
    assert set(reports) <= set(result.reports)
    assert (fault is None) or any(fault in each for each in result.faults.values())


def test_members_of_a_tar_that_are_no_files_are_counted(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, kind in {
            "link": tarfile.SYMTYPE,
            "again": tarfile.LNKTYPE,
            "device": tarfile.CHRTYPE,
            "pipe": tarfile.FIFOTYPE,
            "folder": tarfile.DIRTYPE,
            "continued": b"M",
        }.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    (tmp_path / "file.tar").write_bytes(packed.getvalue())
    result = imported(tmp_path)
    assert result.passed_over == 2
    assert sorted(name.rpartition("!")[2] for name in result.faults) == ["continued", "device", "pipe"]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_large_header_of_a_tar_is_not_read_into_memory(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, 3 * 1024 * MIB
    (tmp_path / "file.tar").write_bytes(_tar({"a": A}).rstrip(b"\0").ljust(4 * BLOCK, b"\0") + header.tobuf())
    (tmp_path / "header.tar").write_bytes(header.tobuf() + bytes(BLOCK))
    result = imported(tmp_path)
    assert [each for each in result.faults.values() if "a header of 3221225472 bytes" in each]


def test_archives_in_archives_are_read_to_a_depth(tmp_path: Path) -> None:
    inner = _zip({"a.json.gz": gzip.compress(A), "box": b"From x 10:00 2026\n" + mail(B)})
    (tmp_path / "all.tar.xz").write_bytes(lzma.compress(_tar({"inner.zip": inner})))
    result = imported(tmp_path)
    assert (result.reports, result.faults) == (["a", "b"], {})
    (tmp_path / "all.tar.xz").unlink()
    deep = A
    for _ in range(9):
        deep = gzip.compress(deep)
    (tmp_path / "deep.gz").write_bytes(deep)
    (fault,) = imported(tmp_path).faults.values()
    assert fault == "archives in archives, more than 5 deep; unpack it first"


def test_mails_attached_to_mails_are_opened_whatever_they_are_called(tmp_path: Path) -> None:
    inner = mail(mail(A), name="forwarded")
    (tmp_path / "as-octet-stream.eml").write_bytes(mail(inner, name="a.eml"))
    (tmp_path / "in-a-zip.eml").write_bytes(mail(_zip({"b.eml": mail(B), "x.eml": mail(X, name="x")}), name="b.zip"))
    result = imported(tmp_path)
    assert (sorted(result.reports), result.faults) == (["a", "b", "x"], {})


def test_what_is_wrong_with_each_document_of_a_mail_is_counted(tmp_path: Path) -> None:
    foreign = A.replace(b"shop.example", b"other.example")
    (tmp_path / "month.eml").write_bytes(mail(_zip({"1": A, "2": foreign, "3": A[:50], "4": foreign})))
    result = imported(tmp_path)
    assert result.reports == ["a"]
    assert sorted(fault[:8] for fault in result.faults.values()) == ["about 'o", "about 'o", "not JSON"]


def test_apples_mails_are_read_without_what_mail_notes_about_them(tmp_path: Path) -> None:
    plist = b'<?xml version="1.0"?>\n<plist version="1.0"><dict><key>flags</key></dict></plist>\n'
    (tmp_path / "12.emlx").write_bytes(b"%-10d\n" % len(mail(A)) + mail(A) + plist)
    result = imported(tmp_path)
    assert (result.reports, result.faults) == (["a"], {})


def test_apples_mails_without_their_attachments_are_named_unless_these_are_there(tmp_path: Path) -> None:
    partial = tmp_path / "Messages/12.partial.emlx"
    partial.parent.mkdir()
    partial.write_bytes(b"5\nA: b\n")
    (fault,) = imported(tmp_path).faults.values()
    assert "export the mailbox with Mail" in fault
    attached = tmp_path / "Attachments/12/2/r.json"
    attached.parent.mkdir(parents=True)
    attached.write_bytes(A)
    result = imported(tmp_path)
    assert (result.reports, result.faults, result.passed_over) == (["a"], {}, 1)


@pytest.mark.parametrize(
    ("beginning", "command"),
    [
        (b"!BDN\x12\x34\x56\x78SM\x17\0", "readpst"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "msgconvert"),
        (b"\xcf\xad\x12\xfe\xc5\xfd\x74\x6f", "undbx"),
        (b"\x78\x9f\x3e\x22\x01\x00", "tnef -C"),
        (b"2 M1e C5ae0d5b2\n\x01\x02N          0000000000000832\n", "doveadm backup"),
        (b"*mbx*\r\n5ae0d5b200000003\r\n", "mailutil"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "7z x"),
        (b"Rar!\x1a\x07\x01\0", "unar"),
        (b"\x1f\x9d\x90", "gzip -d"),
    ],
)
def test_what_is_not_read_is_named_with_the_command_that_exports_it(
    tmp_path: Path, beginning: bytes, command: str
) -> None:
    (tmp_path / "container").write_bytes(beginning)
    (found,) = find([tmp_path])
    assert found.fault is not None
    assert f"`{command} " in found.fault.detail


LITTER = (
    *(".DS_Store", "._a.json", "Thumbs.db", "desktop.ini", "INBOX.msf", "dovecot.index.cache", "subscriptions"),
    *(".nfs000000000012ab3400000001", ".fuse_hidden0000a1b200000001", "@eaDir/a.json@SynoEAStream"),
)


def test_litter_is_passed_over_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(A)
    for name in LITTER:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    (tmp_path / "b.zip").write_bytes(_zip({"b.json": B, "__MACOSX/._b.json": b"\0\5\x16\7", "x/.DS_Store": b"\0"}))
    (tmp_path / "c.tar").write_bytes(_tar({"./x.xml": X, "./._x.xml": b"\0\5\x16\7"}))
    result = imported(tmp_path)
    assert (sorted(result.reports), result.faults, result.passed_over) == (["a", "b", "x"], {}, len(LITTER) + 3)


def test_marks_of_empty_folders_and_version_control_are_passed_over(tmp_path: Path) -> None:
    """And nothing else that is empty: a report that was truncated to nothing is one."""
    names = ("cur/.keep", "new/.gitkeep", "tmp/.keep", ".gitignore", ".git/objects/pack", ".git/HEAD", "cur/.nomedia")
    files = {name: b"*.log\n" if name.startswith(".git") else b"" for name in names} | {"cur/1": mail(A), "b.json": B}
    for name, content in files.items():
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / name).write_bytes(content)
    (tmp_path / "all.zip").write_bytes(_zip(files))
    (tmp_path / "all.tar").write_bytes(_tar(files))
    result = imported(tmp_path)
    reports = ["a"] * 3 + ["b"] * 3
    assert (sorted(result.reports), result.faults, result.passed_over) == (reports, {}, 3 * len(names))
    for empty in ("empty.json", "cur/2"):
        (tmp_path / "all" / empty).write_bytes(b"")
        assert list(imported(tmp_path).faults) == [str(tmp_path / "all" / empty)]
        (tmp_path / "all" / empty).unlink()


def test_a_report_beside_the_mails_of_a_maildir_is_not_passed_over(tmp_path: Path) -> None:
    for name in ("cur/1", "new/2", "tmp/half", "dovecot-uidlist", "report.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(mail(B) if name == "cur/1" else A)
    result = imported(tmp_path)
    assert (sorted(result.reports), result.faults, result.passed_over) == (["a", "a", "b"], {}, 2)
