"""What servers say is shown, and no secret that they repeat, however they spell it."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from collector.sources.mailbox.words import Secrets, shown

if TYPE_CHECKING:
    from collections.abc import Callable

SECRETS = (
    "correct-horse",
    'k\u00e4se \u20ac "x\\y',
    "eyJ0eXAi.a+b/c~d.e_f-g==",
    "a&b<c>d'e",
    "1//0gabc%def+ghi jkl",
)


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "of forms": quote_plus,
    "of URLs": lambda secret: quote(secret, safe=""),
    "of URLs, in small letters": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
    "of IMAP": lambda secret: secret.replace("\\", "\\\\").replace('"', '\\"'),
    "of JSON": lambda secret: json.dumps(secret)[1:-1],
    "of JSON, with slashes": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "of HTML": html.escape,
    "of Python": lambda secret: repr(secret)[1:-1],
    "base64": base64_of,
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
    "SASL PLAIN": lambda secret: base64_of(f"\0reports\0{secret}"),
    "SASL PLAIN of another": lambda secret: base64_of(f"\0report\0{secret}"),
    "SASL LOGIN": lambda secret: f"{base64_of('reports')} {base64_of(secret)}",
    "XOAUTH2": lambda secret: base64_of(f"user=reports\x01auth=Bearer {secret}\x01\x01"),
    "JSON in base64": lambda secret: base64_of(json.dumps({"token": secret})),
    "base64 in a URL": lambda secret: quote(base64_of(f"x{secret}"), safe=""),
    "base64 twice": lambda secret: base64_of(base64_of(secret)),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "hexadecimal, large": lambda secret: secret.encode().hex(":").upper(),
    "HTTP Basic": lambda secret: f"Basic {base64_of(f'client:{secret}')}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "around", ["{}", "you sent {}", '{{"error":"no","you_sent":"{}"}}', "password={}&user=a", "<{}>"]
)
def test_a_secret_is_not_shown(secret: str, spelling: str, around: str) -> None:
    secrets = Secrets()
    secrets.add(secret)
    spelled = SPELLINGS[spelling](secret)
    words = secrets.words(around.format(spelled))
    assert spelled not in words
    assert secret not in words
    assert spelled.split()[-1] not in words  # before it there may be the user


def test_the_words_around_it_are_shown() -> None:
    secrets = Secrets()
    secrets.add("correct-horse")
    said = f"NO [AUTHENTICATIONFAILED] you sent {base64_of('xcorrect-horse')}, client_secret=correct-horse: wrong"
    assert secrets.words(said) == "NO [AUTHENTICATIONFAILED] you sent [secret], client_secret=[secret]: wrong"


@pytest.mark.parametrize(
    "said",
    [
        "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        "AADSTS7000215: Invalid client secret provided. Trace ID: 0d6b1f2c-5a3e-4b0c-9f00-2f1d5c7a1b00",
        "ErrorAccessDenied: Access is denied. Check credentials and try again.",
        "NO Mailbox doesn't exist: Reports/2026 (0.001 + 0.000 secs).",
    ],
)
def test_usual_words_are_shown_as_they_are(said: str) -> None:
    secrets = Secrets()
    secrets.add("correct-horse")
    secrets.add("b" * 2000)
    assert secrets.words(said) == said


@pytest.mark.parametrize("said", ["b'[NONEXISTENT] no folder'", 'select failed: b"it\'s gone"'])
def test_words_are_not_shown_as_python_writes_them(said: str) -> None:
    assert "b'" not in Secrets().words(said)
    assert 'b"' not in Secrets().words(said)
    assert Secrets().words(said).endswith(("no folder", "it's gone"))


def test_the_current_secret_is_known_however_many_came_before() -> None:
    secrets = Secrets()
    for number in range(100):
        secrets.add("the client's secret")
        secrets.add(f"token-{number:04}")
    assert secrets.words("token-0099, the client's secret") == "[secret], [secret]"


def test_nothing_a_server_says_is_long_or_acts_on_a_terminal() -> None:
    assert shown("\x1b[2J\r\nfake line\u202e") == " [2J  fake line "
    assert len(shown("a" * 10_000_000)) == 300
    assert len(Secrets().words("QUJD" * 1_000_000)) == 300
