"""Installs a package of plug-ins into a folder, as pip does: the package's files, and its metadata
from pyproject.toml.
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from pathlib import Path

PACKAGE = Path(__file__).parent / "plugin_package"


def install(site: Path, package: Path = PACKAGE) -> dict[str, str]:
    """The environment of a process that finds the package in `site`."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    shutil.copytree(
        package / "src", site, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in points.items())
        for group, points in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}


def without() -> dict[str, str]:
    """The environment of a process that does not find it."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
