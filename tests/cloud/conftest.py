"""The files that are shipped, as they are and as mappings to plant mistakes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def content() -> dict[str, Any]:
    """The shipped cluster.yaml, filled in; no part of it is shared with another (no YAML alias)."""
    text = (ROOT / "cluster.yaml").read_text(encoding="utf-8").replace("REGISTRY", "registry:5000")
    return _unshared(yaml.safe_load(text))


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value
