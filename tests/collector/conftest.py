"""A collector's ingest on the real engine, fed through a real spool."""

from engine import engine, storage
from ingesting import ingest

__all__ = ["engine", "ingest", "storage"]
