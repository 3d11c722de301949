"""Node configurations against EC2's own model of RunInstances, which comes with botocore."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from raypipe.cloud.clusterfile import ClusterFile, Finding

if TYPE_CHECKING:
    from botocore.model import Shape

# Ray's own key: it picks one of them for each launch (node_provider.py, _create_node).
_RAYS_OWN = {"SubnetIds"}


def findings(file: ClusterFile) -> Iterator[Finding]:
    """Yield unknown keys, wrong types and unknown values of every node configuration."""
    from botocore.validate import ParamValidator

    shape, validator = _run_instances(), ParamValidator()
    for node in file.nodes:
        given = {key: value for key, value in node.config.items() if key not in _RAYS_OWN}
        report = validator.validate({"MinCount": 1, "MaxCount": 1, **given}, shape)
        for kind, place, facts in report._errors:  # noqa: SLF001 -- the public report is one string
            yield _finding(f"{node.name}{place if place.startswith('.') else ''}", kind, facts)
        yield from _unknown_values(given, shape, node.name)


@cache
def _run_instances() -> Shape:
    """Return the model of what RunInstances takes; reading it takes half a second."""
    import botocore.session

    service = botocore.session.get_session().get_service_model("ec2")
    return service.operation_model("RunInstances").input_shape


def _finding(where: str, kind: str, facts: dict[str, Any]) -> Finding:
    """Put one of botocore's errors into words."""
    if kind == "unknown field":
        key, known = facts["unknown_param"], facts["valid_names"]
        near = difflib.get_close_matches(key, known, n=1)
        remedy = f"write {near[0]}" if near else f"write one of {', '.join(sorted(known))}"
        return Finding(f"{where}.{key}", "EC2 knows no such parameter", remedy)
    if kind == "invalid type":
        given, wanted = facts["param"], facts["valid_types"]
        names = " or ".join(item.split("'")[1] for item in wanted)
        return Finding(where, f"{given!r} is of the wrong type for EC2", f"give it as {names}")
    words = " ".join(f"{key} {value}" for key, value in facts.items())
    return Finding(where, f"EC2: {kind} ({words})", "see EC2's RunInstances")


def _unknown_values(value: object, shape: Shape, where: str) -> Iterator[Finding]:
    """Yield values that are not of their enumeration, which botocore's validator lets pass."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key, item in value.items():
            if key in shape.members:
                yield from _unknown_values(item, shape.members[key], f"{where}.{key}")
    elif shape.type_name == "list" and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unknown_values(item, shape.member, f"{where}[{number}]")
    elif isinstance(value, str) and value not in (known := getattr(shape, "enum", []) or [value]):
        few = difflib.get_close_matches(value, known, n=3) or list(known)[:8]
        yield Finding(where, f"EC2 knows no {value!r}", f"write one of {', '.join(few)}")
