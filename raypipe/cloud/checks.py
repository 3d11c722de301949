"""Mistakes in a cluster file that cost money or a night, and that neither Ray nor EC2 reports.

Each function looks for one kind of mistake. What they say of Ray was read in the source of Ray
2.60's autoscaler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from raypipe.cloud import ec2, images, machines
from raypipe.cloud.clusterfile import ClusterFile, Finding, mapping
from raypipe.engine import launcher


def check(file: ClusterFile) -> list[Finding]:
    """Return all mistakes of a cluster file, in the order in which to mend them.

    A file that Ray refuses is not looked at further: nothing in it can be relied on.
    """
    if reason := launcher.refusal(file.content):
        return [Finding("ray up", f"Ray refuses the file: {reason}", "mend that first")]
    found = [*_size(file), *_head(file), *_spot(file), *_leftovers(file), *_commands(file)]
    found += _token(file)
    found += images.findings(file)
    if file.provider.get("type") == "aws":
        found += [*ec2.findings(file), *machines.findings(file)]
    return found


def reminders(file: ClusterFile) -> list[str]:
    """Return what is still to be filled in, or was not looked at."""
    lines = []
    if images.PLACEHOLDER in str(file.content):
        lines.append(f"{images.PLACEHOLDER} stands for your container registry: fill it in")
    if (kind := file.provider.get("type")) != "aws":
        lines.append(f"provider {kind}: machines, disks and prices are checked for aws only")
    return lines


def _size(file: ClusterFile) -> Iterator[Finding]:
    """Maxima that the global maximum cuts short without a word."""
    for node in file.nodes:
        if node.minimum > node.maximum:
            what = f"{node.minimum} is more than its max_workers, {node.maximum}"
            yield Finding(f"{node.name}.min_workers", what, f"write {node.maximum}, or raise it")
    most = file.content.get("max_workers")
    if most is None:
        total = sum(node.maximum for node in file.workers)
        yield Finding("max_workers", "missing: Ray takes 2", f"write max_workers: {total}")
        return
    above = [node for node in file.workers if node.maximum > most]
    for node in above:
        what = f"{node.maximum} is more than max_workers, {most}: it is never reached"
        yield Finding(f"{node.name}.max_workers", what, f"raise max_workers, or write {most} here")
    total = sum(node.maximum for node in file.workers)
    if not above and total > most:
        what = f"{most}, the node types' maxima make {total}: some types never reach theirs"
        yield Finding("max_workers", what, f"write max_workers: {total}, or smaller maxima")


def _token(file: ClusterFile) -> Iterator[Finding]:
    """A cluster that wants a token and has none."""
    if "RAY_AUTH_MODE=token" in str(file.content):
        given = "RAY_AUTH_TOKEN" in str(file.content)
        if not given and "~/.ray/auth_token" not in mapping(file.content.get("file_mounts")):
            what = "RAY_AUTH_MODE=token, and no node is given the token: Ray does not start"
            remedy = 'write {"~/.ray/auth_token": "~/.ray/auth_token"}'
            yield Finding("file_mounts", what, remedy)


def _head(file: ClusterFile) -> Iterator[Finding]:
    """A head that does work, or that can be taken away: its loss ends the cluster."""
    for node in file.nodes:
        if not node.head:
            continue
        for kind in ("CPU", "GPU"):
            # Unset is the machine's own number, which Ray looks up.
            if node.resources.get(kind, None if kind == "CPU" else 0) != 0:
                what = f"tasks may run on the head ({kind}); a busy head takes the cluster down"
                yield Finding(f"{node.name}.resources.{kind}", what, f"write {kind}: 0")
        if node.spot:
            yield Finding(f"{node.name}.InstanceMarketOptions",
                          "the head is a spot node: when it goes, the cluster goes",
                          "take InstanceMarketOptions off the head")  # fmt: skip


def _spot(file: ClusterFile) -> Iterator[Finding]:
    """Spot without nodes that stay, and on-demand nodes that would grow before spot does."""
    spot = [node for node in file.workers if node.spot]
    steady = [node for node in file.workers if not node.spot]
    for gpu in (True, False):
        mine = [node for node in spot if bool(node.gpus) == gpu]
        floor = [node for node in steady if node.minimum > 0 and (node.gpus or not gpu)]
        if mine and not floor and (gpu or not any(node.gpus for node in spot)):
            # The autoscaler asks for the same type again and again; it never turns to another.
            what = "all of it is spot: where there is none to be had, the work stands still"
            kind = "GPU " if gpu else ""
            yield Finding(mine[0].name, what,
                          f"add an on-demand {kind}type with min_workers: 1")  # fmt: skip
    for node in steady:
        # Of types with equal resources Ray grows the one whose name sorts last.
        later = [one for one in spot if one.resources == node.resources and one.name < node.name]
        if later and node.maximum > node.minimum:
            what = f"equals {later[0].name} in resources and sorts after it: Ray grows it first"
            yield Finding(node.name, what, f"give it a name that sorts before {later[0].name}")


def _leftovers(file: ClusterFile) -> Iterator[Finding]:
    """What goes on costing when the work is done."""
    if "idle_timeout_minutes" not in file.content:
        what = "missing: Ray's default may change under you, and every idle minute is paid for"
        yield Finding("idle_timeout_minutes", what, "write idle_timeout_minutes: 5")
    elif file.content["idle_timeout_minutes"] > 30:
        what = f"{file.content['idle_timeout_minutes']} minutes of idle nodes are paid for"
        yield Finding("idle_timeout_minutes", what, "write 5 to 10")
    if file.provider.get("type") == "aws" and file.provider.get("cache_stopped_nodes", True):
        spot = any(node.spot for node in file.nodes)
        what = "spot nodes cannot be stopped" if spot else "nodes are stopped, not ended"
        yield Finding("provider.cache_stopped_nodes",
                      f"true, or left out, which means true: {what}, and disks go on costing",
                      "write cache_stopped_nodes: False")  # fmt: skip


def _commands(file: ClusterFile) -> Iterator[Finding]:
    """Start commands that start the wrong cluster."""
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        if key not in file.content:
            what = "left out: Ray fills in its own, with a dashboard open on every interface"
            yield Finding(key, what, "write it as in the cluster.yaml we ship")
    lines = "\n".join(file.commands("head_start_ray_commands", "worker_start_ray_commands"))
    head = "\n".join(file.commands("head_start_ray_commands"))
    if head and "--autoscaling-config" not in head:
        what = "no --autoscaling-config: the head never starts a worker"
        remedy = "add --autoscaling-config=~/ray_bootstrap_config.yaml to ray start"
        yield Finding("head_start_ray_commands", what, remedy)
    if "--dashboard-host=0.0.0.0" in head or "--dashboard-host 0.0.0.0" in head:
        what = "the dashboard, which runs jobs, listens on every interface"
        remedy = "write --dashboard-host=127.0.0.1 and reach it by ray dashboard cluster.yaml"
        yield Finding("head_start_ray_commands", what, remedy)
    if lines and "ulimit -n" not in lines:
        what = "no ulimit -n: 1,024 open files are too few for a large cluster"
        yield Finding("head_start_ray_commands", what, "put ulimit -n 65536; before ray start")
    if found := re.search(r"AUTOSCALER_MAX_NUM_FAILURES=(?!\d)\S*", lines):
        what = f"{found[0].rstrip(';')} is not a whole number: Ray ignores it and gives up after 5"
        yield Finding("head_start_ray_commands", what, "write AUTOSCALER_MAX_NUM_FAILURES=1000000")
