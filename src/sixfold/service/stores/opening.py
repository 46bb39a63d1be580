"""Which stores a home and addresses mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.stores.artifacts import BlobArtifacts, told
from sixfold.service.stores.folder_blobs import FolderBlobs
from sixfold.service.stores.object_blobs import ObjectBlobs
from sixfold.service.stores.sql_database import SqlDatabase, open_database


@contextmanager
def opened(
    home: Path, database: str | None = None, artifacts: str | None = None
) -> Iterator[tuple[SqlDatabase, BlobArtifacts]]:
    """What `sixfold up` with these options has. Left out: a SQLite file and a folder in `home`. Raises ServiceError."""
    with told(str(home)):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    rows = open_database(database or f"sqlite:///{home.resolve() / 'sixfold.db'}")
    try:
        yield rows, open_artifacts(artifacts or str(home / "artifacts"))
    finally:
        rows.close()


def open_artifacts(place: str | Path) -> BlobArtifacts:
    """A folder, or the URL of an object store: `s3://bucket/prefix`, with its key and endpoint in the environment
    (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`). Raises ServiceError.
    """
    protocol, separator, path = str(place).partition("://")
    if not separator or protocol == "file":
        folder = FolderBlobs(Path(path or place))
        with told(str(place)):
            folder.prepare()
        return BlobArtifacts(folder)
    try:
        if not protocol:
            raise ValueError("no kind of store")
        system, prefix = fsspec.url_to_fs(
            str(place), skip_instance_cache=True, use_listings_cache=False
        )
    except (ImportError, ValueError) as error:
        raise InvalidRequest(
            "the artifact store",
            "a folder, or a URL of a store whose client is installed",
            f"{protocol[:40]}://: {error}"[:200],
            "For S3: pip install 'sixfold[s3]'.",
        ) from error
    return BlobArtifacts(ObjectBlobs(system, prefix))
