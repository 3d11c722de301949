"""Folding batch normalisation into the convolution before it: the same network, less work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module, keep: Collection[str] = ()) -> nn.Module:
    """Fold every batch norm that directly follows a convolution into it, in place.

    In evaluation mode a batch norm is a scale and a shift a channel, which the convolution's
    weights can take over. A network that cannot be traced stays as it is.

    Args:
        network: In evaluation mode.
        keep: Names of modules whose output somebody looks at.

    Returns:
        The network.
    """
    try:
        graph = fx.Tracer().trace(network)
    except Exception:  # noqa: BLE001 -- control flow that depends on values; tracing raises anything
        return network
    modules = dict(network.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[str(node.target)], nn.BatchNorm2d):
            continue
        before = node.args[0]
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        norm, convolution = str(node.target), str(before.target)
        once = calls[norm] == calls[convolution] == 1
        if once and isinstance(modules[convolution], nn.Conv2d) and convolution not in keep:
            fused = fuse_conv_bn_eval(modules[convolution], modules[norm])
            network.set_submodule(convolution, fused)
            network.set_submodule(norm, nn.Identity())
    return network
