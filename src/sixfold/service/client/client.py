"""`sixfold.Client`: submit, watch, fetch."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from sixfold.core.paths import clear, safe_join
from sixfold.recipe.load import from_object, load
from sixfold.recipe.schema import Recipe
from sixfold.service.client.recipe_files import files_of
from sixfold.service.client.settings import found
from sixfold.service.client.transport import Transport

POLL_S: Final = 0.5
PATIENCE_S: Final = 30.0  # while the server starts again
FINISHED: Final = ("succeeded", "failed", "cancelled")
PAGE: Final = 100
USERS: Final = "/api/v1/users"


class Client:
    """A service. `server`, `key`: left out, those of SIXFOLD_SERVER and SIXFOLD_API_KEY, or of `sixfold login`.

    >>> client = Client("http://127.0.0.1:8900", "sf_…")  # doctest: +SKIP
    >>> job = client.submit("recipe.yaml")  # doctest: +SKIP
    >>> client.wait(job["id"])["state"]  # doctest: +SKIP
    'succeeded'
    """

    def __init__(self, server: str | None = None, key: str | None = None) -> None:
        if server is None or key is None:
            login = found()
            server, key = server or login.server, key or login.key
        self._http = Transport(server.rstrip("/"), key, PATIENCE_S)

    def close(self) -> None:
        """Its connections."""
        self._http.close()

    def submit(
        self,
        recipe: str | Path | Recipe | dict[str, Any],
        files: Mapping[str, str | Path] | None = None,
        priority: int = 0,
        publish: str | None = None,
    ) -> dict[str, Any]:
        """The job. `recipe`: a file, whose data beside it is sent along, or an object. `files`: further ones, by the path
        that the recipe names them with. Sent again after a lost answer it creates no second job. Raises a SixfoldError.
        """
        is_path = isinstance(recipe, str | Path)
        loaded = load(Path(recipe)) if is_path else from_object(recipe)  # type: ignore[arg-type]
        paths = files_of(loaded) | {name: Path(path) for name, path in (files or {}).items()}
        ids = {name: self.upload(path)["id"] for name, path in paths.items()}
        body = {"recipe": loaded.text, "files": ids, "priority": priority, "publish": publish}
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        answer: dict[str, Any] = self._http.call("POST", "/api/v1/jobs", body, headers)
        return answer

    def upload(self, path: str | Path, purpose: str = "data") -> dict[str, Any]:
        """A file's facts, its id among them."""
        path = Path(path)
        query = urlencode({"filename": path.name, "purpose": purpose})
        answer: dict[str, Any] = self._http.send(f"/api/v1/files?{query}", path)
        return answer

    def job(self, job_id: str) -> dict[str, Any]:
        """One job."""
        answer: dict[str, Any] = self._http.call("GET", f"/api/v1/jobs/{quote(job_id, safe='')}")
        return answer

    def jobs(self, state: str | None = None) -> Iterator[dict[str, Any]]:
        """Newest first, all of them, a page at a time."""
        return self._pages("/api/v1/jobs", {} if state is None else {"state": state})

    def change(self, job_id: str, verb: str) -> dict[str, Any]:
        """`verb`: cancel, pause, resume or retry."""
        path = f"/api/v1/jobs/{quote(job_id, safe='')}/{quote(verb, safe='')}"
        answer: dict[str, Any] = self._http.call("POST", path)
        return answer

    def events(self, job_id: str, follow: bool = False) -> Iterator[dict[str, Any]]:
        """Oldest first; with `follow` until the job is finished, over restarts of the server."""
        after, path = 0, f"/api/v1/jobs/{quote(job_id, safe='')}"
        while True:
            done = not follow or self.job(job_id)["state"] in FINISHED
            page = self._http.call("GET", f"{path}/events?after={after}&limit=1000")
            for event in page["data"]:
                after = event["seq"]
                yield event
            if done and not page["has_more"]:
                return
            if not page["data"]:
                time.sleep(POLL_S)

    def wait(self, job_id: str) -> dict[str, Any]:
        """The job, once it is finished."""
        while (job := self.job(job_id))["state"] not in FINISHED:
            time.sleep(POLL_S)
        return job

    def models(self) -> Iterator[dict[str, Any]]:
        """Newest first, without their versions."""
        return self._pages("/api/v1/models", {})

    def model(self, name: str) -> dict[str, Any]:
        """A model and all its versions, newest first, a page at a time."""
        path = f"/api/v1/models/{quote(name, safe='')}?limit={PAGE}"
        answer: dict[str, Any] = self._http.call("GET", path)
        more = answer.pop("has_more")
        while more:
            page = self._http.call("GET", f"{path}&before={answer['versions'][-1]['number']}")
            answer["versions"] += page["versions"]
            more = page["has_more"]
        return answer

    def promote(self, name: str, alias: str, version: str = "latest") -> dict[str, Any]:
        """Point an alias at a version."""
        path = f"/api/v1/models/{quote(name, safe='')}/aliases/{quote(alias, safe='')}"
        answer: dict[str, Any] = self._http.call("PUT", path, {"version": version})
        return answer

    def roll_back(self, name: str, alias: str) -> dict[str, Any]:
        """Point an alias at the version that it pointed at before."""
        path = f"/api/v1/models/{quote(name, safe='')}/aliases/{quote(alias, safe='')}/roll-back"
        answer: dict[str, Any] = self._http.call("POST", path)
        return answer

    def retire(self, name: str, version: str) -> dict[str, Any]:
        """A version that answers nobody any more."""
        path = f"/api/v1/models/{quote(name, safe='')}/versions/{quote(version, safe='')}/retire"
        answer: dict[str, Any] = self._http.call("POST", path)
        return answer

    def delete_version(self, name: str, version: str) -> None:
        """For good."""
        path = f"/api/v1/models/{quote(name, safe='')}/versions/{quote(version, safe='')}"
        self._http.call("DELETE", path)

    def download(self, name: str, folder: str | Path, version: str = "latest") -> Path:
        """A version's bundle, into a new folder. Raises a SixfoldError where it is there."""
        folder = Path(folder)
        path = f"/api/v1/models/{quote(name, safe='')}/versions/{quote(version, safe='')}/bundle"
        folder.mkdir(parents=True)
        archive = folder.with_name(folder.name + ".zip.part")
        try:
            self._http.save(path, archive)
            with zipfile.ZipFile(archive) as opened:
                for entry in opened.infolist():
                    target = safe_join(folder, entry.filename)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(opened.read(entry))
        except BaseException:
            clear(folder)
            raise
        finally:
            archive.unlink(missing_ok=True)
        return folder

    def upload_bundle(self, name: str, folder: str | Path) -> dict[str, Any]:
        """The new version of the model: of a bundle's folder, verified by the server. Sent again after a lost answer it makes
        no second version. Raises a SixfoldError.
        """
        folder = Path(folder)
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/zip"}
        with tempfile.TemporaryDirectory() as aside:
            archive = Path(aside) / "bundle.zip"
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
                for path in sorted(one for one in folder.rglob("*") if one.is_file()):
                    packed.write(path, path.relative_to(folder).as_posix())
            url = f"/api/v1/models/{quote(name, safe='')}/versions"
            answer: dict[str, Any] = self._http.send(url, archive, headers)
        return answer

    def deployments(self) -> Iterator[dict[str, Any]]:
        """Newest first."""
        return self._pages("/api/v1/deployments", {})

    def deployment(self, name: str) -> dict[str, Any]:
        """One deployment: its state, and why where it failed."""
        answer: dict[str, Any] = self._http.call("GET", _deployment(name))
        return answer

    def deploy(
        self, name: str, model: str | None = None, version: str = "latest", **options: Any
    ) -> dict[str, Any]:
        """A version answers under `name`; again with another one, and they are swapped without a failed request. `model`:
        left out, the one called `name`. `options`: scaling, canary, shadow and log_share, as in the API.
        """
        body = {"model": model or name, "version": version, **options}
        answer: dict[str, Any] = self._http.call("PUT", _deployment(name), body)
        return answer

    def change_deployment(self, name: str, verb: str) -> dict[str, Any]:
        """`verb`: roll-back, canary/promote or canary/end."""
        answer: dict[str, Any] = self._http.call("POST", f"{_deployment(name)}/{quote(verb)}")
        return answer

    def undeploy(self, name: str) -> None:
        """Requests in work are finished first."""
        self._http.call("DELETE", _deployment(name))

    def predict(self, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """What the deployment answers for rows, by the names of their columns. Waits while it starts."""
        path = f"/models/{quote(name, safe='')}/predict"
        answer: dict[str, Any] = self._http.call("POST", path, {"rows": rows})
        return answer

    def recommend(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """The best items, by a deployed recommender. `request`: as `POST /recommend` of `sixfold serve` takes it: user, items,
        similar_to, k, and so on. Waits while it starts.
        """
        path = f"/models/{quote(name, safe='')}/recommend"
        answer: dict[str, Any] = self._http.call("POST", path, request)
        return answer

    def keys(self) -> Iterator[dict[str, Any]]:
        """Newest first."""
        return self._pages("/api/v1/keys", {})

    def create_key(
        self, name: str, scopes: list[str], expires_after_s: float | None = None
    ) -> dict[str, Any]:
        """The key's facts; `key` is itself, in this answer and in no other."""
        body = {"name": name, "scopes": scopes, "expires_after_s": expires_after_s}
        answer: dict[str, Any] = self._http.call("POST", "/api/v1/keys", body)
        return answer

    def revoke_key(self, key_id: str) -> dict[str, Any]:
        """At once."""
        answer: dict[str, Any] = self._http.call("DELETE", f"/api/v1/keys/{quote(key_id, safe='')}")
        return answer

    def rotate_key(self, key_id: str) -> dict[str, Any]:
        """The new key's facts, and once the key itself; the old one stays good for a day."""
        path = f"/api/v1/keys/{quote(key_id, safe='')}/rotate"
        answer: dict[str, Any] = self._http.call("POST", path)
        return answer

    def usage(self, hours: int = 24) -> dict[str, Any]:
        """What the keys of the tenant used within so many hours, the current one included: `keys`, and `data` by the hour; with
        `cost` in `currency`, where the operator named prices.
        """
        answer: dict[str, Any] = self._http.call("GET", f"/api/v1/usage?hours={hours}")
        return answer

    def audit(self) -> Iterator[dict[str, Any]]:
        """Who changed what in the tenant, newest first. For administrators."""
        return self._pages("/api/v1/audit", {})

    def users(self) -> Iterator[dict[str, Any]]:
        """People of the tenant, newest first."""
        return self._pages(USERS, {})

    def add_user(
        self, name: str, issuer: str, subject: str, scopes: list[str], tenant: str | None = None
    ) -> dict[str, Any]:
        """Somebody who may sign on from now on. `issuer`: the provider's address; `subject`: the account's `sub` there;
        `tenant`: left out, your own. For operators.
        """
        body = {"name": name, "issuer": issuer, "subject": subject, "scopes": scopes}
        answer: dict[str, Any] = self._http.call("POST", USERS, {**body, "tenant": tenant})
        return answer

    def set_user_scopes(self, user_id: str, scopes: list[str]) -> dict[str, Any]:
        """What a person may do, at once."""
        path = f"{_user(user_id)}/scopes"
        answer: dict[str, Any] = self._http.call("PUT", path, {"scopes": scopes})
        return answer

    def change_user(self, user_id: str, verb: str) -> dict[str, Any]:
        """`verb`: disable or enable."""
        path = f"{_user(user_id)}/{quote(verb, safe='')}"
        answer: dict[str, Any] = self._http.call("POST", path)
        return answer

    def remove_user(self, user_id: str) -> dict[str, Any]:
        """The person as they were, with whom all their sessions and keys end."""
        answer: dict[str, Any] = self._http.call("DELETE", _user(user_id))
        return answer

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            page = self._http.call("GET", f"{path}?{urlencode({**query, **after, 'limit': PAGE})}")
            yield from page["data"]
            if not page["has_more"]:
                return
            last = page["data"][-1]
            after = {"after": last.get("id") or last["name"]}

    def __repr__(self) -> str:
        return f"Client({json.dumps(self._http.url)})"


def _user(user_id: str) -> str:
    return f"{USERS}/{quote(user_id, safe='')}"


def _deployment(name: str) -> str:
    return f"/api/v1/deployments/{quote(name, safe='')}"
