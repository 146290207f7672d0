"""Every kind of file that reports are kept in, and every kind of trouble with files."""

from __future__ import annotations

import gzip
import io
import mailbox
import os
import socket
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.documents.limits import LIMITS
from collector.importing.files import Found, count, find
from reports.envelope import Source
from reports.rejection import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

MAIL = b"From: a@example.net\r\nSubject: report\r\n\r\nbody\r\n"
JSON = b'{"organization-name": "Example Net"}'
XML = b"<feedback>\n<a/></feedback>\n"
PACKED = gzip.compress(JSON, mtime=0)


def _bodies(*paths: Path) -> dict[str, bytes]:
    found = [each for each in find(paths) if not each.passed_over]
    assert [each for each in found if each.fault] == []
    assert all(each.envelope.source is Source.FILE and each.envelope.by_operator for each in found)
    return {each.envelope.name: each.body for each in found}


def _only_fault(*paths: Path) -> Found:
    (found,) = find(paths)
    assert found.fault is not None
    return found


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


def _zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _mbox(path: Path, mails: list[bytes]) -> Path:
    box = mailbox.mbox(path)
    for mail in mails:
        box.add(mail)
    box.close()
    return path


@pytest.mark.parametrize(
    ("name", "content"), [("a.eml", MAIL), ("a.json", JSON), ("a.xml", XML), ("no-suffix", MAIL), ("b.json", b"{")]
)
def test_single_file_is_one_body_as_it_is(write: Callable[[str, bytes], Path], name: str, content: bytes) -> None:
    path = write(name, content)
    assert _bodies(path) == {str(path): content}
    assert count([path]) == 1


def test_zip_yields_each_member(write: Callable[[str, bytes], Path]) -> None:
    path = write("old.zip", _zipped({"a.eml": MAIL, "sub/b.json": JSON, "c.json.gz": PACKED}))
    assert _bodies(path) == {
        f"{path}!a.eml": MAIL,
        f"{path}!sub/b.json": JSON,
        f"{path}!c.json.gz": JSON,
    }
    assert count([path]) == 3


def test_mbox_in_zip_yields_each_mail(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    box = _mbox(tmp_path / "box", [MAIL, MAIL]).read_bytes()
    path = write("takeout.zip", _zipped({"All mail.mbox": box}))
    assert list(_bodies(path)) == [f"{path}!All mail.mbox#1", f"{path}!All mail.mbox#2"]


@pytest.mark.parametrize("packed", [False, True])
def test_mbox_yields_each_mail(write: Callable[[str, bytes], Path], tmp_path: Path, packed: bool) -> None:
    second = MAIL.replace(b"body", b"one\r\n\r\nFrom here on quoted\r\n>From there")
    path = _mbox(tmp_path / "reports.mbox", [MAIL, second, MAIL])
    if packed:
        path = write("reports.mbox.gz", gzip.compress(path.read_bytes()))
    bodies = _bodies(path)
    assert list(bodies) == [f"{path}!#1", f"{path}!#2", f"{path}!#3"]
    assert bodies[f"{path}!#1"].replace(b"\r\n", b"\n").rstrip() == MAIL.replace(b"\r\n", b"\n").rstrip()
    assert b"\nFrom here on quoted" in bodies[f"{path}!#2"]
    assert count([path]) == (1 if packed else 3)


def test_mail_in_gzip_is_unpacked(write: Callable[[str, bytes], Path]) -> None:
    path = write("cur/123:2,S", gzip.compress(MAIL))  # as Dovecot's zlib plugin keeps a maildir
    assert _bodies(path) == {str(path): MAIL}


def test_maildir_yields_mails_and_none_of_its_index_files(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "Maildir", create=True)
    box.add(MAIL)
    box.add_folder("processed").add(MAIL)
    for index in ("dovecot-uidlist", "dovecot.index.log", ".processed/dovecot-uidlist"):
        (tmp_path / "Maildir" / index).write_bytes(b"3 V1 N2")
    (tmp_path / "Maildir/tmp/half").write_bytes(b"half a ma")
    bodies = _bodies(tmp_path / "Maildir")
    assert sorted(Path(name).parent.relative_to(tmp_path).as_posix() for name in bodies) == [
        "Maildir/.processed/new",
        "Maildir/new",
    ]


def test_folders_are_read_below_each_other(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    paths = [write("a/1.eml", MAIL), write("a/b/2.json", JSON), write("a/b/c/d/3.eml", MAIL)]
    assert _bodies(tmp_path) == {str(path): path.read_bytes() for path in paths}
    assert count([tmp_path]) == 3


def test_standard_input_may_be_anything(monkeypatch: pytest.MonkeyPatch, write: Callable[[str, bytes], Path]) -> None:
    path = write("in", _zipped({"a.eml": MAIL, "b.json": JSON}))
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert _bodies(Path("-")) == {"standard input!a.eml": MAIL, "standard input!b.json": JSON}


def test_links_in_circles_end(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    write("a/1.eml", MAIL)
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to("self")
    faults = [each for each in find([tmp_path]) if each.fault]
    assert [Path(each.envelope.name).name for each in faults] == ["self"]
    assert sum(1 for each in find([tmp_path]) if not each.fault) == 1


def test_pipe_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for start in (tmp_path, tmp_path / "pipe"):
        found = _only_fault(start)
        assert (found.fault.reason, found.fault.detail) == (Reason.UNREADABLE, "is a pipe, not a file")


def test_socket_and_device_are_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        assert _only_fault(tmp_path).fault.detail == "is a socket, not a file"
    assert _only_fault(Path("/dev/zero")).fault.detail == "is a device, not a file"


def test_missing_file_is_named(tmp_path: Path) -> None:
    found = _only_fault(tmp_path / "missing.eml")
    assert found.envelope.name == str(tmp_path / "missing.eml")
    assert found.fault.detail == "No such file or directory"
    assert count([tmp_path / "missing.eml"]) == 1


def test_forbidden_file_and_folder_are_named(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    write("secret.eml", MAIL).chmod(0)
    write("closed/1.eml", MAIL).parent.chmod(0)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    code = """
        import os
        import sys
        from pathlib import Path

        from collector.importing.files import find

        if os.geteuid() == 0:  # root may read everything, so look as nobody
            os.setresuid(65534, 65534, 65534)
        print(*(found.fault.detail for found in find([Path(sys.argv[1])]) if found.fault), sep="; ")
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("Permission denied; Permission denied\n", "")


def test_too_large_file_is_refused_and_not_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)  # ten sparse gigabytes
    found = _only_fault(path)
    assert (found.fault.reason, found.body) == (Reason.TOO_LARGE, b"")


def test_too_large_mail_in_an_mbox_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[str, bytes], Path]
) -> None:
    box = _mbox(tmp_path / "box", [MAIL, MAIL + b"x" * 5_000, MAIL])
    monkeypatch.setattr("collector.importing.archives.LIMITS", replace(LIMITS, message_bytes=4_000))
    assert [each.fault.reason if each.fault else "ok" for each in find([box])] == ["ok", Reason.TOO_LARGE, "ok"]


def test_damaged_zip_is_named(write: Callable[[str, bytes], Path]) -> None:
    whole = _zipped({f"{i}.eml": MAIL * 20 for i in range(20)})
    truncated = _only_fault(write("truncated.zip", whole[: len(whole) // 2]))
    assert truncated.fault.reason is Reason.BAD_COMPRESSION
    at = whole.find(b"3.eml") + 10
    flipped = list(find([write("flipped.zip", whole[:at] + b"\xff\xff\xff" + whole[at + 3 :])]))
    assert len(flipped) == 20
    assert [each.envelope.name.rpartition("!")[2] for each in flipped if each.fault] == ["3.eml"]


def test_encrypted_member_is_named(write: Callable[[str, bytes], Path]) -> None:
    packed = bytearray(_zipped({"a.eml": MAIL}))
    packed[6] |= 1  # local header
    packed[packed.find(b"PK\x01\x02") + 8] |= 1
    found = _only_fault(write("secret.zip", bytes(packed)))
    assert found.fault.detail == "is encrypted; unpack it first"


def test_zip_bomb_ends_early(write: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.importing.unpacking.LIMITS", replace(LIMITS, unpacked_bytes=1_000_000))
    bomb = write("bomb.zip", _zipped({f"{i}.json": b"\0" * 800_000 for i in range(10)}))
    found = list(find([bomb]))
    assert found[-1].fault.reason is Reason.TOO_LARGE
    assert len(found) <= 6  # half of them and the fault


def test_zip_of_too_many_members_is_refused_before_its_directory_is_read(
    write: Callable[[str, bytes], Path],
) -> None:
    found = _only_fault(write("many.zip", b"PK\x03\x04" + b"PK\x01\x02" * 200_000))
    assert found.fault.reason is Reason.TOO_MANY


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"\x1f\x8b\x08\0" + b"\xff" * 99])
def test_beginnings_of_archives_without_the_rest_do_no_harm(
    write: Callable[[str, bytes], Path], content: bytes
) -> None:
    (found,) = find([write("odd", content)])
    assert found.fault or found.body == content


def test_truncated_mbox_in_gzip_keeps_what_came_before(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    box = _mbox(tmp_path / "box", [MAIL + os.urandom(3000).hex().encode() for _ in range(30)])
    packed = gzip.compress(box.read_bytes())
    found = list(find([write("cut.gz", packed[: len(packed) // 2])]))
    assert 5 < len(found) < 25
    assert [each.fault.reason for each in found if each.fault] == [Reason.BAD_COMPRESSION]


def test_names_that_are_not_utf8_are_shown_escaped(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.eml")).write_bytes(MAIL)
    (found,) = find([tmp_path])
    assert found.body == MAIL
    assert found.envelope.name.endswith(r"/\udcff.eml")
    found.envelope.name.encode("utf-8")


@pytest.mark.slow
def test_memory_is_bounded_for_very_many_files(tmp_path: Path) -> None:
    for number in range(20_000):
        (tmp_path / f"{number:06}.eml").write_bytes(MAIL)
    # In a process of its own: other threads of this one allocate too.
    program = textwrap.dedent("""
        import sys, tracemalloc
        from pathlib import Path
        from collector.importing.files import find

        tracemalloc.start()
        print(sum(1 for _ in find([Path(sys.argv[1])])), tracemalloc.get_traced_memory()[1])
    """)
    command = [sys.executable, "-c", program, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found, peak = map(int, answer.stdout.split())
    assert found == 20_000
    assert peak < 3_000_000


def test_names_that_would_steer_a_terminal_are_escaped(write):
    archive = write("old.zip", _zipped({"\x1b]0;owned\x07.json": JSON, "\x9b2J\n.json": JSON}))
    names = [each.envelope.name for each in find([archive])]
    assert names == [f"{archive}!\\x1b]0;owned\\x07.json", f"{archive}!\\x9b2J\\n.json"]
