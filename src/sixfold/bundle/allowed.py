"""Which installed plug-ins a bundle may use: those of Sixfold, and those of other packages that the
user allows by name.

A bundle names its runtime and the modalities of its columns. A name is looked up in the registry
and nowhere else, so it can make nothing be imported but a plug-in that is installed. One of another
package may have been written for the bundles of its user alone, so a stranger's bundle does not
reach it unless the user says so.
"""

from __future__ import annotations

from collections.abc import Collection

from sixfold.core.errors import BundleError
from sixfold.core.plugins import Kind


def check_allowed(kind: Kind, names: Collection[str], allow: Collection[str], where: str) -> None:
    """Raises BundleError for a plug-in that is not installed, or of another package and not
    allowed; imports none.
    """
    own = set(kind.own_names())
    for name in sorted(set(names) - own):
        if name not in kind.foreign_names():
            remedy = "Install the package that brings it, if you trust it, or ask for a bundle without it."
            raise BundleError(
                where, f"an installed {kind.name} ({', '.join(kind.names())})", f"'{name}'", remedy
            )
        if name not in allow:
            remedy = f"If you trust the bundle and that package: --allow-plugin {name}, or allow=['{name}'] in Python."
            found = f"'{name}', of the package {kind.package(name)}"
            raise BundleError(
                where, f"a {kind.name} of Sixfold's own, or one that is allowed", found, remedy
            )
