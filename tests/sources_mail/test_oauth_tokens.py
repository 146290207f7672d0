"""Access tokens from a strict token endpoint: renewed in time, kept when replaced, and never shown."""

from __future__ import annotations

import gzip
import json
import stat
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from sources_mail.identity import SECRET, Identity
from sources_mail.reading import Clock
from sources_mail.web_server import Answer

from collector.sources.mailbox.mailbox import LostError, Trouble
from collector.sources.mailbox.oauth import Tokens
from collector.sources.mailbox.words import Secrets
from mailposture.config.mailboxes import OAuth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pki import CertificateAuthority


@pytest.fixture
def identity(authority: CertificateAuthority) -> Iterator[Identity]:
    with Identity(authority).serving() as server:
        yield server


def tokens(identity: Identity, folder: Path, clock: Clock | None = None, **more: Any) -> Tokens:
    settings = OAuth(**identity.settings(folder, **more))
    return Tokens(settings, kept=folder / "mailboxes/a.token", secrets=Secrets(), clock=clock or Clock())


def test_one_token_serves_until_shortly_before_it_expires(identity: Identity, tmp_path: Path) -> None:
    clock = Clock()
    ours = tokens(identity, tmp_path, clock)
    first = ours.token()
    clock.turn(3600 - 301)
    assert ours.token() == first
    clock.turn(2)
    second = ours.token()
    assert [first, second] == identity.issued
    assert identity.requests[0]["grant_type"] == "client_credentials"


@pytest.mark.parametrize(("life", "until"), [(None, 300), (60, 30), (0, 300)])
def test_a_short_life_or_none_is_no_endless_loop(
    identity: Identity, tmp_path: Path, life: int | None, until: int
) -> None:
    identity.life = life
    clock = Clock()
    ours = tokens(identity, tmp_path, clock)
    ours.token()
    clock.turn(until - 1)
    ours.token()
    assert len(identity.issued) == 1
    clock.turn(2)
    ours.token()
    assert len(identity.issued) == 2


def test_a_refused_token_is_replaced(identity: Identity, tmp_path: Path) -> None:
    ours = tokens(identity, tmp_path)
    first = ours.token()
    ours.refused()
    assert ours.token() != first


def test_a_refresh_token_is_used_as_it_is_while_the_server_keeps_it(identity: Identity, tmp_path: Path) -> None:
    identity.refresh_token = "1//0given"
    for _ in range(2):
        assert tokens(identity, tmp_path).token()
    assert [each["refresh_token"] for each in identity.requests] == ["1//0given"] * 2
    assert not (tmp_path / "mailboxes").exists()


def test_a_replaced_refresh_token_is_kept_until_a_person_gives_another(identity: Identity, tmp_path: Path) -> None:
    identity.refresh_token, identity.rotates = "given", True
    settings = identity.settings(tmp_path)
    for _ in range(3):  # restarts
        kept = Tokens(OAuth(**settings), kept=tmp_path / "mailboxes/a.token", secrets=Secrets(), clock=Clock())
        assert kept.token()
        kept.refused()
        assert kept.token()
    (path,) = (tmp_path / "mailboxes").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    identity.refresh_token = "given by a person later"
    settings = identity.settings(tmp_path)
    assert Tokens(OAuth(**settings), kept=path, secrets=Secrets(), clock=Clock()).token()
    assert identity.requests[-1]["refresh_token"] == "given by a person later"


@pytest.mark.parametrize("kept", [b"", b"[]", b"{}", b'{"instead_of": 1}'])
def test_a_damaged_file_of_a_replaced_token_does_no_harm(identity: Identity, tmp_path: Path, kept: bytes) -> None:
    identity.refresh_token = "given"
    (tmp_path / "mailboxes").mkdir()
    (tmp_path / "mailboxes/a.token").write_bytes(kept)
    assert tokens(identity, tmp_path).token()


def refusal(ours: Tokens) -> LostError:
    with pytest.raises(LostError) as raised:
        ours.token()
    return raised.value


def test_revocation_is_said_in_the_words_of_the_server(identity: Identity, tmp_path: Path) -> None:
    identity.refresh_token, identity.revoked = "given", True
    error = refusal(tokens(identity, tmp_path))
    assert error.trouble is Trouble.TOKEN
    assert "invalid_grant: AADSTS700082: The refresh token has expired." in str(error)
    identity.revoked = False
    assert tokens(identity, tmp_path).token()


def test_a_wrong_secret_is_said_and_no_secret_is_ever_shown(identity: Identity, tmp_path: Path) -> None:
    identity.echoes = True
    identity.refresh_token = "given"
    (tmp_path / "wrong").write_text("wr0ng")
    error = refusal(tokens(identity, tmp_path, client_secret_file=tmp_path / "wrong"))
    assert "invalid_client" in str(error)
    assert "[secret]" in str(error)
    assert "wr0ng" not in str(error)
    identity.revoked = True
    error = refusal(tokens(identity, tmp_path))
    assert SECRET not in str(error)
    assert "'given'" not in str(error)
    assert error.__cause__ is None


def test_a_secret_is_not_shown_in_the_spelling_of_forms_either(
    identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = json.dumps({"error": "invalid_client", "error_description": f"client_secret={quote(SECRET, safe='')}"})
    monkeypatch.setattr(identity, "_token", lambda: Answer(400, words.encode()))
    assert str(refusal(tokens(identity, tmp_path))).endswith("invalid_client: client_secret=[secret]")


def test_an_answer_that_is_compressed_unasked_is_not_unpacked(
    identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(b'{"access_token": "a", "token_type": "Bearer"}' + b" " * 50_000_000)
    monkeypatch.setattr(identity, "_token", lambda: Answer(200, packed, {"Content-Encoding": "gzip"}))
    assert refusal(tokens(identity, tmp_path)).trouble is Trouble.TOKEN


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(404), "(404): is token_url right, and the tenant in it? It gives no reason"),
        (
            Answer(
                404,
                b"<html><head><title>x</title></head>\n<h1>404</h1>\n<p>No such&nbsp;tenant</html>"
                + b"<script>" * 9000,
                {"Content-Type": "text/html"},
            ),
            '(404): is token_url right, and the tenant in it? It answers "404 No such&nbsp;tenant ',
        ),
        (Answer(405, f"not with {SECRET}".encode() + b"x" * 200), 'It answers "not with [secret]'),
        (Answer(404, b"x" * 110 + b" " + SECRET.encode()), f'It answers "{"x" * 110} [secret]'),
        (
            Answer(302, b"", {"Location": f"https://x.example/?s={SECRET}"}),
            "https://x.example/?s=[secret]; is token_url",
        ),
        (Answer(500, b"out of order"), '(500): It answers "out of order"'),
        (
            Answer(200, b"<html>", {"Content-Type": "text/html"}),
            "no token in its answer (text/html); is token_url right?",
        ),
        (Answer(200, b'{"access_token": ["not-ours"]}'), "(200): no token in its answer"),
    ],
)
def test_what_is_no_token_endpoint_is_said_without_any_secret(
    identity: Identity, tmp_path: Path, answer: Answer, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_token", lambda: answer)
    error = refusal(tokens(identity, tmp_path))
    assert error.trouble is Trouble.TOKEN
    assert words in str(error)
    assert not [secret for secret in (SECRET, "not-ours") if secret[:6] in str(error)]


def test_throttling_says_how_long_to_wait(identity: Identity, tmp_path: Path) -> None:
    identity.busy = [{"Retry-After": "17"}, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}, {"Retry-After": "x"}]
    ours = tokens(identity, tmp_path)
    refusals = [refusal(ours) for _ in range(4)]
    assert [error.trouble for error in refusals] == [Trouble.THROTTLED] * 4
    assert [error.wait for error in refusals] == [17, 0, 60, 60]
    assert ours.token()


def test_its_certificate_is_verified(identity: Identity, tmp_path: Path) -> None:
    error = refusal(tokens(identity, tmp_path, certificate_authority=None))
    assert error.trouble is Trouble.CERTIFICATE
    assert identity.requests == []


def test_nobody_answers(identity: Identity, tmp_path: Path) -> None:
    error = refusal(tokens(identity, tmp_path, token_url="https://localhost:1/token"))
    assert error.trouble is Trouble.UNREACHABLE


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"[]", b"null", b'"a"', b'{"access_token": ""}', b'{"error": 1}', b"[" * 200_000),
        b'{"access_token": "a\\r\\nX-Injected: b", "token_type": "Bearer"}',  # a log would show it, refused
        b'{"access_token": "a\\u2028", "token_type": "Bearer"}',
        b'{"access_token": "a", "token_type": "Bearer", "expires_in": 1e999}',
        b'{"access_token": "a", "token_type": "Bearer", "refresh_token": ["b"]}',
        b" " * (256 * 1024) + b'{"access_token": "a", "token_type": "Bearer"}',
    ],
)
def test_an_answer_that_is_none_is_no_token(
    identity: Identity, tmp_path: Path, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_token", lambda: Answer(200, body))
    assert refusal(tokens(identity, tmp_path)).trouble is Trouble.TOKEN
