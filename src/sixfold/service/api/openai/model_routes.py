"""`/v1/models`."""

from __future__ import annotations

from fastapi import APIRouter

from sixfold.service.api.access import In, Who
from sixfold.service.api.openai.shapes import OpenAIDeleted, OpenAIModel, OpenAIModels
from sixfold.service.use_cases import served_models

router = APIRouter(prefix="/v1/models", tags=["OpenAI: models"])


@router.get("")
def page(service: In, who: Who) -> OpenAIModels:
    """Deployments, fine-tuned models and their checkpoints, and base models."""
    organization = service.settings.organization
    found = served_models.models(service, who)
    return OpenAIModels(data=[OpenAIModel.of(one, organization) for one in found])


@router.get("/{model:path}")
def get(model: str, service: In, who: Who) -> OpenAIModel:
    """One of them; of a base model also NAME@alias."""
    return OpenAIModel.of(served_models.get(service, who, model), service.settings.organization)


@router.delete("/{model:path}")
def delete(model: str, service: In, who: Who) -> OpenAIDeleted:
    """A deployment, a fine-tuned model or a checkpoint."""
    served_models.delete(service, who, model)
    return OpenAIDeleted(id=model, object="model")
