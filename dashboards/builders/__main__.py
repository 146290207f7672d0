"""`python -m dashboards.builders` writes the dashboards beside this folder."""

from pathlib import Path

from dashboards.builders.write import files

for name, content in files().items():
    (Path(__file__).parent.parent / name).write_text(content, encoding="utf-8")
