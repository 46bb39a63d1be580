"""What a replica of Ray Serve is: a bundle behind the routes of the thin server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sixfold.bundle.load import load
from sixfold.recipe.serving import Serve
from sixfold.serve.app import create
from sixfold.serve.hosts import Hosts
from sixfold.serve.watched import App


class ServedBundle:
    """Of the bundle at `path`, which every node sees there. `settings`: of the section Serve;
    `allow_hosts`: names by which clients may ask; `allow`: as in `load`.
    """

    def __init__(
        self, path: str, settings: dict[str, Any], allow_hosts: Sequence[str], allow: Sequence[str]
    ) -> None:
        self.path, self.settings = path, settings
        self.allow_hosts, self.allow = allow_hosts, allow

    def __serve_build_asgi_app__(self) -> App:  # Ray asks for it by this name
        """The application, warm. Raises BundleError."""
        settings = Serve.model_validate(self.settings)
        app = create(load(self.path, self.allow), settings, Hosts(self.allow_hosts))
        app.server.warm()
        return app
