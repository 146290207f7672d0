"""The demo's month, made once."""

import pytest
from clock import TODAY

from demo.keys import load_or_generate
from demo.tls.mails import mails


@pytest.fixture(scope="session")
def today():
    return TODAY


@pytest.fixture(scope="session")
def demo_keys(tmp_path_factory):
    return load_or_generate(tmp_path_factory.mktemp("demo-keys"))


@pytest.fixture(scope="session")
def demo_mails(demo_keys):
    return list(mails(TODAY, demo_keys))
