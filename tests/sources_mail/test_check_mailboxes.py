"""`mailposture check --mailboxes` tries each mailbox and says what is wrong, and changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner
from sources_mail.identity import Identity
from sources_mail.odd_imap import OddImap
from sources_mail.reading import private_mail, report_mail
from sources_mail.strict_graph import USER, StrictGraph

import cli.check

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result
    from pki import CertificateAuthority


def check(folder: Path, *arguments: str, **sections: Any) -> Result:
    path = folder / "mailposture.yaml"
    path.write_text(yaml.safe_dump({"domains": [{"name": "shop.example"}], **sections}))
    return CliRunner().invoke(cli.check.command, ["--config", str(path), "--mailboxes", *arguments])


def imap(odd: OddImap, folder: Path, **more: Any) -> dict[str, Any]:
    (folder / "password").write_text("secret")
    return {"host": "127.0.0.1", "port": odd.plain_port, "tls": False, "user": "u", "password_file": "password", **more}


def test_good_and_wrong_ones_are_said(authority: CertificateAuthority, tmp_path: Path) -> None:
    identity = Identity(authority)
    graph = StrictGraph(authority, identity.valid, report_mail(1))
    (tmp_path / "Maildir/new").mkdir(parents=True)
    (tmp_path / "Maildir/cur").mkdir()
    with OddImap(private_mail(1), report_mail(2)).serving() as odd, identity.serving(), graph.serving():
        oauth = {name: str(value) for name, value in identity.settings(tmp_path).items()}
        by_graph = {"user": USER, "url": graph.url, "certificate_authority": str(authority.certificate)}
        sections = {
            "imap": [imap(odd, tmp_path), {**imap(odd, tmp_path, password_file="nowhere"), "folder": "Other"}],
            "graph": [{**by_graph, "oauth": oauth, "processed": None}],
            "maildir": [{"path": "Maildir"}, {"path": "other"}],
        }
        text = check(tmp_path, **sections)
        found = json.loads(check(tmp_path, "--format", "json", **sections).stdout)
        assert len(odd.mails) == 2
        assert not [command for command in odd.commands if "MOVE" in command or "STORE" in command]
        assert len(graph.bodies("Inbox")) == 1
    assert text.exit_code == 1
    assert [each["trouble"] for each in found] == [None, "file", None, None, "folder"]
    assert "can be read, 2 mails are in it; reports are to be moved (not tried)" in text.stdout
    assert "can be read, 1 mail is in it; reports stay in it (processed: null, or it is read-only)" in text.stdout
    assert "nowhere cannot be read" in text.stdout
    assert "-> are `folder` and whose mailbox it is" in text.stdout
    assert not (tmp_path / "data").exists()


def test_a_revoked_secret_is_said(authority: CertificateAuthority, tmp_path: Path) -> None:
    identity = Identity(authority)
    identity.revoked = True
    with OddImap().serving() as odd, identity.serving():
        oauth = {name: str(value) for name, value in identity.settings(tmp_path).items()}
        settings = imap(odd, tmp_path, oauth=oauth)
        del settings["password_file"]
        result = check(tmp_path, imap=[settings])
    assert result.exit_code == 1
    assert "unauthorized_client" in result.stdout
    assert "(token)" in result.stdout


@pytest.mark.parametrize(
    ("more", "trouble", "words"),
    [
        ({"certificate_authority": "gone.pem"}, "file", "gone.pem cannot be read (No such file or directory)"),
        ({"certificate_authority": "password"}, "file", "password holds no certificate in PEM"),
        ({"tls": True}, "certificate", "127.0.0.1, port {port} does not begin with TLS"),
        ({"port": 1}, "unreachable", "no connection to 127.0.0.1, port 1: Connection refused"),
    ],
)
def test_what_is_wrong_has_a_name_and_a_next_step(
    more: dict[str, Any], trouble: str, words: str, tmp_path: Path
) -> None:
    with OddImap().serving() as odd:
        tls = {"tls": "starttls"} if "certificate_authority" in more else {}
        result = check(tmp_path, "--format", "json", imap=[{**imap(odd, tmp_path), **tls, **more}])
        (found,) = json.loads(result.stdout)
        assert (found["trouble"], result.exit_code) == (trouble, 1)
        assert words.format(port=odd.plain_port) in found["detail"]
        assert found["instruction"]


@pytest.mark.parametrize("kind", ["imap", "graph"])
def test_whose_file_or_certificate_is_wrong_is_said(kind: str, authority: CertificateAuthority, tmp_path: Path) -> None:
    identity = Identity(authority)
    graph = StrictGraph(authority, identity.valid)
    with OddImap().serving() as odd, identity.serving(), graph.serving():
        server: dict[str, Any] = {"user": USER, "url": graph.url, "certificate_authority": str(authority.certificate)}
        if kind == "imap":
            server = {name: value for name, value in imap(odd, tmp_path).items() if name != "password_file"}
        oauth = {name: str(value) for name, value in identity.settings(tmp_path).items()}
        unverified = {name: value for name, value in oauth.items() if name != "certificate_authority"}
        wrong = [unverified, {**oauth, "certificate_authority": "gone.pem"}, {**oauth, "client_secret_file": "gone"}]
        wrong.append({**oauth, "token_url": identity.url.replace("/tenant/", "/other/")})
        for settings, trouble, words in zip(
            wrong,
            ["certificate", "file", "file", "token"],
            [
                f"the certificate of {identity.url} is not trusted",
                "gone.pem",
                "gone",
                "(404): is token_url right",
            ],
            strict=True,
        ):
            result = check(tmp_path, "--format", "json", **{kind: [{**server, "oauth": settings}]})
            (found,) = json.loads(result.stdout)
            assert (found["trouble"], words in found["detail"]) == (trouble, True), found


@pytest.mark.slow
@pytest.mark.parametrize(("rights", "good"), [("lrswipk", False), ("lrswit", False), ("lrswite", True), ("lr", True)])
def test_a_missing_right_to_move_is_said(
    limited_dovecot: Callable[..., Any], tmp_path: Path, rights: str, good: bool
) -> None:
    """Where nothing at all may be written, it is read as it is, and nothing is to be moved."""
    server = limited_dovecot(report_mail(1), rights=rights)
    (tmp_path / "password").write_text(server.password)
    settings = {name: value for name, value in server.settings.items() if name != "certificate_authority"}
    settings |= {"host": "localhost", "user": "reports", "password_file": "password"}
    settings["certificate_authority"] = str(server.authority.certificate)
    result = check(tmp_path, imap=[settings])
    assert result.exit_code == (0 if good else 1), result.stdout
    assert ("cannot be moved: the account may not delete in INBOX" in result.stdout) != good
    assert ("processed: null). Until then" in result.stdout) != good


def test_all_good_is_success(tmp_path: Path) -> None:
    with OddImap(report_mail(1)).serving() as odd:
        assert check(tmp_path, imap=[imap(odd, tmp_path)]).exit_code == 0


@pytest.mark.parametrize(("arguments", "words"), [((), "has no mailbox"), (("example.com",), "looks at no domain")])
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    result = check(tmp_path, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
