"""The two rules that turn a plain map and object shares into a refined map. Plain NumPy."""

from __future__ import annotations

import numpy as np

from raypipe.config import RefineConfig, Rule
from raypipe.maps import Floats


def refined(plain: Floats, share: Floats, rule: Rule, config: RefineConfig) -> Floats:
    """Apply a rule.

    `filter` is the paper's: foreground cells keep what matches the object, m · p; the rest stays
    as it is, for zeroing it would shrink every object when the map is interpolated. `classify` is
    ours: every cell above a low floor is decided by what it matches, m^γ · p, which also gives
    back parts of the object that the plain map missed.

    Args:
        plain: (h, w) m, the foreground map, 0..1.
        share: (h, w) p, the share of *object* among a cell's nearest regions, 0..1.
        rule: `filter` or `classify`.
        config: Threshold, floor and exponent.

    Returns:
        (h, w) float32 in 0..1; all zero if every cell was suppressed.
    """
    if rule == "filter":
        kept = np.where(plain > config.threshold, plain * share, plain)
        # Where no cell stays foreground, the untouched rest would be taken for the object.
        return kept if (kept > config.threshold).any() else np.zeros_like(plain)
    return np.where(plain > config.floor, plain**config.gamma * share, 0.0).astype(np.float32)
