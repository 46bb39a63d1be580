"""Options of `sixfold up` for people who sign on with an account of elsewhere (OpenID Connect)."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sixfold.core.errors import SystemFault
from sixfold.core.paths import system_fault

if TYPE_CHECKING:
    from sixfold.service.use_cases.sign_on import SignOn

IN_ENVIRONMENT: Final = "SIXFOLD_OIDC_SECRET"
OPTIONS: Final = (
    click.option("--oidc-issuer", metavar="URL", help="Sign on with accounts of this provider."),
    click.option("--oidc-client-id", metavar="ID", help="What the provider calls this service."),
    click.option(
        "--oidc-secret-file",
        type=click.Path(path_type=Path),
        help=f"The client's secret; or {IN_ENVIRONMENT}; neither: a public client.",
    ),
    click.option(
        "--oidc-redirect-uri",
        metavar="URL",
        help="https://NAME/login/oidc/callback, where a proxy stands before it; left out: as the browser asks.",
    ),
    click.option(
        "--oidc-tenant-claim",
        metavar="CLAIM",
        help="Whose value names the person's tenant; left out: all belong to `main`.",
    ),
    click.option(
        "--oidc-scope",
        "oidc_scopes",
        metavar="SCOPE",
        multiple=True,
        help="Of people whom nobody made known before; repeatable; left out: they are refused.",
    ),
)


def sign_on_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command gets `sign_on`: None where no issuer is named."""

    @functools.wraps(command)
    def called(**given: Any) -> None:
        own = {name: given.pop(name) for name in tuple(given) if name.startswith("oidc_")}
        command(**given, sign_on=_sign_on(**own))

    for option in reversed(OPTIONS):
        called = option(called)
    return called


def _sign_on(
    oidc_issuer: str | None,
    oidc_client_id: str | None,
    oidc_secret_file: Path | None,
    oidc_redirect_uri: str | None,
    oidc_tenant_claim: str | None,
    oidc_scopes: tuple[str, ...],
) -> SignOn | None:
    others = (oidc_client_id, oidc_secret_file, oidc_redirect_uri, oidc_tenant_claim, oidc_scopes)
    if oidc_issuer is None:
        if any(others):
            raise click.UsageError("The options --oidc-… are for --oidc-issuer URL.")
        return None
    if oidc_client_id is None:
        raise click.UsageError("--oidc-issuer needs --oidc-client-id.")
    from sixfold.service.domain.people import scopes_of
    from sixfold.service.domain.sign_on import SignOnRules
    from sixfold.service.identity.oidc import OidcProvider
    from sixfold.service.use_cases.sign_on import SignOn

    scopes = scopes_of(oidc_scopes) if oidc_scopes else None
    provider = OidcProvider(oidc_issuer, oidc_client_id, _secret(oidc_secret_file))
    return SignOn(provider, SignOnRules(oidc_tenant_claim, scopes), oidc_redirect_uri)


def _secret(path: Path | None) -> str | None:
    """Never of the command line, which everybody on the machine can read."""
    if path is None:
        return os.environ.get(IN_ENVIRONMENT) or None
    try:
        found = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError):
            raise system_fault(path, error) from error
        found = ""
    if not found:
        raise SystemFault(str(path), "the client's secret", "nothing", "Write it there.")
    return found
