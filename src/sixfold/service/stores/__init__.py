"""Where state and bytes are kept: SQLite or PostgreSQL, a folder or an object store."""

from sixfold.service.stores.opening import open_artifacts
from sixfold.service.stores.sql_database import open_database

__all__ = ["open_artifacts", "open_database"]
