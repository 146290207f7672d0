from engine import engine, storage

__all__ = ["engine", "storage"]
