"""A collector's ingest on the real engine, fed through a real spool."""

from ingesting import ingest

__all__ = ["ingest"]
