"""docs/failures.md is generated from the words."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_page_says_what_the_words_say():
    built = subprocess.run([sys.executable, DOCS / "build_failures.py"], capture_output=True, text=True, check=True)
    assert (DOCS / "failures.md").read_text() == built.stdout, "run: python docs/build_failures.py > docs/failures.md"
