"""The public face cannot change unseen: schema.json and the reference are what the code
generates.
"""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from sixfold.recipe.generate import REFERENCE_FILE, generate_schema, reference
from sixfold.recipe.kinds import KINDS
from sixfold.recipe.published import SCHEMA_FILE

REMEDY = "run `make docs` and look at what changed"


def test_the_schema_is_what_the_code_generates() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == generate_schema(), REMEDY


def test_the_schema_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(generate_schema())


def test_the_reference_is_what_the_code_generates() -> None:
    assert REFERENCE_FILE.read_text() == reference(), REMEDY


def test_every_plugin_is_in_schema_and_reference() -> None:
    schema, text = generate_schema(), reference()
    for kind in KINDS.values():
        assert kind.names()
        for name in kind.names():
            assert f"{kind.name}.{name}" in schema["$defs"]
            assert f"### {kind.name} `{name}`" in text


def test_every_plugin_says_what_it_is() -> None:
    for kind in KINDS.values():
        for name in kind.names():
            settings = kind.load(name)
            assert settings.__doc__, f"{kind.name} {name}"
            for field, info in settings.model_fields.items():
                assert info.description, f"{kind.name} {name}.{field}"
