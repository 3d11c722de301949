"""Boxes of a foreground map: CAM's rule (Zhou et al., CVPR 2016)."""

from __future__ import annotations

from raypipe.maps import Boxes, Floats, component_boxes, foreground, upsampled


def map_boxes(
    grid: Floats, height: int, width: int, threshold: float, *, every: bool = False
) -> Boxes:
    """Return the box of the largest connected component above a share of the map's own maximum.

    Args:
        grid: (h, w) scores.
        height: Image height, pixels.
        width: Image width, pixels.
        threshold: Share of the maximum.
        every: Return the boxes of all components, the largest first.

    Returns:
        (n, 4) float64 x0 y0 x1 y1, pixels of the original image, end exclusive; none for an
        empty map.
    """
    boxes = component_boxes(foreground(upsampled(grid, height, width), threshold))
    return boxes if every else boxes[:1]
