"""What the EC2 machines of a cluster lack: rights, closed metadata and ports, encrypted disks."""

from __future__ import annotations

from collections.abc import Iterator

from raypipe.cloud.clusterfile import ClusterFile, Finding, NodeType, dig, mapping, sequence
from raypipe.engine.nodes import MACHINE, MARKET

_SSH = 22
_ANYWHERE = {"0.0.0.0/0", "::/0"}


def findings(file: ClusterFile) -> Iterator[Finding]:
    """Yield the mistakes of all node configurations and of the security group."""
    for node in file.nodes:
        yield from _node(node)
        yield from _disks(node)
        yield from _labels(node)
    yield from _ports(dig(file.provider, "security_group", "IpPermissions"))
    zones = str(file.provider.get("availability_zone", "")).split(",")
    if any(node.spot for node in file.nodes) and len([zone for zone in zones if zone.strip()]) < 2:
        where = f"{file.region or 'us-east-1'}a,{file.region or 'us-east-1'}b"
        yield Finding("provider.availability_zone",
                      "one zone only: spot capacity runs out by zone",
                      f"name several, as {where}")  # fmt: skip


def _node(node: NodeType) -> Iterator[Finding]:
    if not node.instance and not node.config.get("LaunchTemplate"):
        what = "missing: EC2 takes a type of its own choice"
        yield Finding(f"{node.name}.InstanceType", what, "name one, as g6.4xlarge")
    if not node.config.get("IamInstanceProfile"):
        what = "no instance profile: a head gets full rights on EC2 and S3 from Ray, a worker none"
        yield Finding(f"{node.name}.IamInstanceProfile", what,
                      "name one with the rights in cloud/aws/")  # fmt: skip
    if dig(node.config, "MetadataOptions", "HttpTokens") != "required":
        what = "metadata is given without a token (IMDSv1): any stray request may read the keys"
        yield Finding(f"{node.name}.MetadataOptions", what, "write {HttpTokens: required}")
    if not node.config.get("ImageId"):
        what = "no ImageId: Ray takes an Ubuntu 18.04 of 2022"
        yield Finding(f"{node.name}.ImageId", what, "name one, as in the cluster.yaml we ship")
    if node.config.get("LaunchTemplate"):
        what = "a launch template can hold anything, and cannot be read offline"
        yield Finding(f"{node.name}.LaunchTemplate", what, "write its parameters into the file")


def _labels(node: NodeType) -> Iterator[Finding]:
    """Labels that would put another machine on the bill than the one that runs."""
    wanted = {MACHINE: node.instance, MARKET: "spot" if node.spot else "on-demand"}
    for name, value in wanted.items():
        said = str(node.labels.get(name, value))
        if value and said != value:
            what = f"says {said}, the node is {value}: `raypipe report` would count another cost"
            yield Finding(f"{node.name}.labels", f"{name} {what}", f"write {name}: {value}")


def _disks(node: NodeType) -> Iterator[Finding]:
    disks = sequence(node.config.get("BlockDeviceMappings"))
    where = f"{node.name}.BlockDeviceMappings"
    if not disks:
        what = "none: the image's own disk is small, and as a rule not encrypted"
        yield Finding(where, what, "name /dev/sda1 with a size, gp3 and Encrypted: true")
    for number, disk in enumerate(disks):
        ebs = mapping(dig(disk, "Ebs"))
        place = f"{where}[{number}].Ebs"
        if ebs.get("Encrypted") is not True and not dig(disk, "VirtualName"):  # NVMe always is
            yield Finding(place, "the disk is not encrypted", "write Encrypted: true")
        if ebs.get("DeleteOnTermination") is False:
            what = "the disk outlives its node and goes on costing"
            yield Finding(place, what, "write DeleteOnTermination: true")


def _ports(rules: object) -> Iterator[Finding]:
    for number, rule in enumerate(sequence(rules)):
        sources = {dig(item, "CidrIp") for item in sequence(dig(rule, "IpRanges"))}
        sources |= {dig(item, "CidrIpv6") for item in sequence(dig(rule, "Ipv6Ranges"))}
        first, last = dig(rule, "FromPort"), dig(rule, "ToPort")
        if sources & _ANYWHERE and (first, last) != (_SSH, _SSH):
            ports = "every port" if first in {None, -1} else f"port {first}"
            ports += "" if first == last or first in {None, -1} else f" to {last}"
            yield Finding(f"provider.security_group.IpPermissions[{number}]",
                          f"{ports} is open to the whole internet",
                          "take the rule out; ray dashboard tunnels through ssh")  # fmt: skip
