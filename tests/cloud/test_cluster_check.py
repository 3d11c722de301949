"""`raypipe cluster-check` as it is called: words, JSON, exit codes, and the sums behind them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from raypipe.cloud import cost, prices
from raypipe.cloud.clusterfile import ClusterFile
from tests.cloud.conftest import ROOT

SHIPPED = str(ROOT / "cluster.yaml")


@pytest.fixture
def file(content, tmp_path: Path) -> Path:
    content["provider"]["cache_stopped_nodes"] = True
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_shipped_file_passes_and_says_what_to_fill_in(cli) -> None:
    result = cli("cluster-check", cwd=ROOT)
    assert (result.returncode, "no mistake found" in result.stderr) == (0, True)
    assert "before ray up: REGISTRY stands for your container registry" in result.stdout
    assert "problem" not in result.stdout
    assert "an hour: with no work $" in result.stdout
    assert "check before you rely on them" in result.stdout


def test_the_how_to_shows_what_is_printed(cli) -> None:
    page = (ROOT / "docs" / "how-to" / "cluster-on-aws.md").read_text(encoding="utf-8")
    command, shown = (block.strip() for block in page.split("```")[1:4:2])
    result = cli(*command.split()[1:], cwd=ROOT)
    printed = result.stdout + result.stderr
    assert [line.strip() for line in shown.splitlines() if line.strip()] == [
        line.strip() for line in printed.splitlines() if line.strip()
    ]


def test_a_problem_is_one_line_with_its_remedy_and_exit_code_3(cli, file) -> None:
    result = cli("cluster-check", file, cwd=file.parent)
    assert result.returncode == 3
    [line] = [one for one in result.stdout.splitlines() if one.startswith("problem: ")]
    assert line.startswith("problem: provider.cache_stopped_nodes: ")
    assert line.endswith("→ write cache_stopped_nodes: False")
    assert "1 problem" in result.stderr
    assert "Traceback" not in result.stderr


def test_json_is_all_there_is_on_stdout(cli, file) -> None:
    result = cli("cluster-check", file, "--images", 1000, "--json", cwd=file.parent)
    assert result.returncode == 3
    content = json.loads(result.stdout)
    assert [item["where"] for item in content["problems"]] == ["provider.cache_stopped_nodes"]
    assert {"where", "what", "remedy"} == set(content["problems"][0])
    assert content["cost"]["maximum"] > content["cost"]["minimum"] > 0
    assert [item["case"] for item in content["estimates"]] == ["CPU nodes alone"]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, 4, "No such file"),
        ("a: [", 3, "not YAML"),
        ("- a", 3, "not a mapping"),
        ("{}", 3, "1 problem"),
        ("available_node_types: {a: 3}\nprovider: {type: aws}\ncluster_name: x", 3, "1 problem"),
        ("\x00", 3, "not YAML"),
    ],
)
def test_what_is_no_cluster_file_is_one_line(cli, tmp_path, text, code, words) -> None:
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    result = cli("cluster-check", path, cwd=tmp_path)
    assert (result.returncode, words in result.stderr) == (code, True), result.stderr
    assert "Traceback" not in result.stderr


def test_hours_say_which_rate_is_measured_and_which_assumed(cli) -> None:
    without = cli("cluster-check", SHIPPED, "--images", 1_281_167, cwd=ROOT).stdout
    assert "no hours for GPU nodes: none has been measured, give --rate" in without
    assert "measured: 18.5 images a second of one core" in without
    assert "all GPU nodes" not in without

    given = cli("cluster-check", SHIPPED, "--images", 1_281_167, "--rate", 300, cwd=ROOT).stdout
    assert "all GPU nodes: 9 nodes, 2,700 images a second: " in given
    assert "no spot to be had: 1 node, 300 images a second: " in given
    assert "assumed: 300 images a second of one GPU node (yours)" in given


def table(tmp_path: Path, machines: str) -> str:
    path = tmp_path / "prices.toml"
    head = 'date = 2026-01-02\nregion = "us-east-1"\ngp3_gb_month = 7.3\nipv4_hour = 0.5\n'
    path.write_text(f"{head}[instances]\n{machines}", encoding="utf-8")
    return str(path)


MACHINES = """
"m6i.2xlarge" = { cpus = 8, on_demand = 1.0, spot = 0.5 }
"g6.4xlarge" = { cpus = 16, on_demand = 10.0, spot = 4.0 }
"m6i.4xlarge" = { cpus = 16, on_demand = 2.0, spot = 1.0 }
"""


def test_sums_are_those_of_the_table(content, tmp_path) -> None:
    file = ClusterFile("c", content)
    mine = prices.load(table(tmp_path, MACHINES))
    extra = 150 * 7.3 / 730 + 0.5  # a node's disk and address: 2.0

    found = cost.cost(file, mine)

    assert found.minimum == pytest.approx((1 + extra) + (10 + extra))
    assert found.maximum == pytest.approx(
        (1 + extra) + (10 + extra) + 8 * (4 + extra) + 4 * (1 + extra)
    )
    assert found.unknown == []

    spot, steady, cpu = cost.estimates(file, mine, images=900_000, rate=100.0)
    assert (spot.nodes, spot.rate, steady.nodes, cpu.rate) == (9, 900.0, 1, 4 * 16 * 18.5)
    assert spot.hours == pytest.approx(900_000 / 900 / 3600 + cost.START_MINUTES / 60)
    assert spot.dollars == pytest.approx((spot.hours + 5 / 60) * (3 + 12 + 8 * 6))


def test_an_unknown_machine_is_said_and_not_guessed(cli, tmp_path) -> None:
    known = table(tmp_path, MACHINES.replace("g6.4xlarge", "g6.12xlarge"))
    result = cli("cluster-check", SHIPPED, "--prices", known, cwd=ROOT)
    assert result.returncode == 0
    assert "g6.4xlarge: no price known, in no sum" in result.stdout
    assert "an hour, of what is known: with no work $3.00, at full size $15.00" in result.stdout
    assert "on 2026-01-02" in result.stdout


def test_another_region_is_said(content, cli, tmp_path) -> None:
    content["provider"] |= {"region": "eu-west-1", "availability_zone": "eu-west-1a,eu-west-1b"}
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    result = cli("cluster-check", path, cwd=tmp_path)
    assert "the cluster is in eu-west-1, where prices differ" in result.stdout


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, 4, "No such file"),
        ("x = ", 3, "not TOML"),
        ("date = 2026-01-01", 3, "required"),
    ],
)
def test_a_table_that_is_none_is_one_line(cli, tmp_path, text, code, words) -> None:
    path = tmp_path / "p.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    result = cli("cluster-check", SHIPPED, "--prices", path, cwd=tmp_path)
    assert (result.returncode, words in result.stderr) == (code, True), result.stderr


def test_the_package_s_table_is_dated_and_plausible() -> None:
    own = prices.load(None)
    assert own.region == "us-east-1"
    assert len(own.instances) > 20
    for name, machine in own.instances.items():
        assert 0.2 < machine.spot / machine.on_demand < 0.6, name
    assert {"m6i.2xlarge", "g6.4xlarge", "m6i.4xlarge"} <= set(own.instances)
