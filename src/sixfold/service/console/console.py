"""All routes of the console, for the application to include."""

from __future__ import annotations

from fastapi import APIRouter

from sixfold.service.console import (
    deployment_pages,
    job_pages,
    model_pages,
    people_pages,
    session_pages,
    sign_on_pages,
    static_files,
    system_pages,
    user_pages,
)

router = APIRouter(include_in_schema=False)
for module in (
    static_files,
    session_pages,
    sign_on_pages,
    job_pages,
    model_pages,
    deployment_pages,
    people_pages,
    user_pages,
    system_pages,  # its last route takes every address that is left
):
    router.include_router(module.routes)
