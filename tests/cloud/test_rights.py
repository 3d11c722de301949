"""The rights of the cluster's machines: valid, known to AWS, and no more than is needed."""

from __future__ import annotations

import json
import re
from typing import Any

from cfnlint.api import ManualArgs, lint

from raypipe.cloud.clusterfile import read
from tests.cloud.conftest import ROOT

FOLDER = ROOT / "cloud" / "aws"
NAMES = ["head", "node", "trust"]
EVERYWHERE = {
    "ec2:DescribeInstances": "EC2 cannot limit describing to single machines",
    "ec2:DescribeInstanceTypes": "likewise; machine types belong to nobody",
    "ecr:GetAuthorizationToken": "a login is to the registry, not to a repository in it",
}


def policy(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def statements() -> list[dict[str, Any]]:
    return [one for name in NAMES for one in policy(name)["Statement"]]


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def complaints(policies: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Return what cfn-lint, which knows AWS's actions, says of each policy inside a template."""
    resources = {
        name: {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": document}}
        if name == "trust"
        else {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
        for name, document in policies.items()
    }
    found = lint(json.dumps({"Resources": resources}), config=ManualArgs(regions=["us-east-1"]))
    said: dict[str, list[str]] = {name: [] for name in policies}
    for match in found:
        said[match.path[1]].append(match.rule.id)
    return said


def test_aws_knows_every_action_and_condition() -> None:
    assert complaints({name: policy(name) for name in NAMES}) == {name: [] for name in NAMES}


def test_planted_mistakes_are_found() -> None:
    text = (FOLDER / "head.json").read_text(encoding="utf-8")
    mistakes = {
        "action": ("ec2:RunInstances", "ec2:RunInstancez"),
        "operator": ("StringEquals", "StringEqual"),
        "effect": ('"Allow"', '"Alow"'),
        "arn": ("arn:aws:iam::*:role", "arn:iam::role"),
    }
    broken = {name: json.loads(text.replace(*words)) for name, words in mistakes.items()}
    assert all(complaints(broken).values())


def test_no_action_is_a_pattern() -> None:
    assert not [a for one in statements() for a in many(one["Action"]) if "*" in a]


def test_everything_that_is_not_limited_to_resources_has_a_reason() -> None:
    open_ended = {
        action
        for one in statements()
        if "Resource" in one and "*" in many(one["Resource"])
        for action in many(one["Action"])
    }
    assert open_ended == set(EVERYWHERE)


def test_what_costs_or_destroys_is_limited_to_this_cluster() -> None:
    file = read(str(ROOT / "cluster.yaml"))
    by_name = {one["Sid"]: one for one in statements()}
    start = by_name["StartWorkers"]["Condition"]["StringEquals"]
    assert start["aws:RequestTag/ray-cluster-name"] == file.content["cluster_name"]
    assert set(start["ec2:InstanceType"]) == {node.instance for node in file.workers}
    assert start["ec2:MetadataHttpTokens"] == "required"
    for sid in ("EndItsOwn", "TagItsOwn"):
        condition = by_name[sid]["Condition"]["StringEquals"]
        assert condition == {"aws:ResourceTag/ray-cluster-name": file.content["cluster_name"]}
    profiles = {node.config["IamInstanceProfile"]["Name"] for node in file.workers}
    assert [by_name["HandWorkersTheirRights"]["Resource"]] == [
        f"arn:aws:iam::*:role/{name}" for name in profiles
    ]


def test_regions_and_repository_are_those_of_the_cluster() -> None:
    file = read(str(ROOT / "cluster.yaml"))
    text = "".join((FOLDER / f"{name}.json").read_text(encoding="utf-8") for name in NAMES)
    assert set(re.findall(r"\b[a-z]{2}-[a-z]+-\d", text)) == {file.region}
    repository = file.image.partition("/")[2].partition(":")[0]
    assert f":repository/{repository}" in text


def test_every_statement_is_explained() -> None:
    page = (ROOT / "docs" / "how-to" / "cluster-on-aws.md").read_text(encoding="utf-8")
    names = [one["Sid"] for one in statements()]
    assert len(set(names)) == len(names)
    assert [name for name in names if f"`{name}`" not in page] == []
