"""MaxBoxAcc, MaxBoxAccV2 and PxAP after their published definition, with OpenCV's contours.

Written from Choe et al. (CVPR 2020) and what clovaai/wsolevaluation computes, to compare with. It
takes maps in 0..1 and true boxes at the maps' size.
"""

import cv2
import numpy as np

THRESHOLDS = np.arange(0, 1, 0.01)
DELTAS = (0.3, 0.5, 0.7)


def contours(scoremap, threshold):
    grey = (scoremap * 255).astype(np.uint8)
    bound = int(threshold * np.max(grey))
    _, mask = cv2.threshold(grey, bound, 255, cv2.THRESH_BINARY)
    return cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]


def boxes_at(scoremap, threshold, *, every):
    height, width = scoremap.shape
    found = contours(scoremap, threshold)
    if not found:
        return np.zeros((1, 4))
    kept = found if every else [max(found, key=cv2.contourArea)]
    boxes = []
    for contour in kept:
        x, y, w, h = cv2.boundingRect(contour)
        boxes.append((x, y, min(x + w, width - 1), min(y + h, height - 1)))
    return np.array(boxes, dtype=np.float64)


def iou(box, other):
    """Both with the last pixel: 1 is added to every side."""
    wide, high = (
        max(0, min(box[at + 2], other[at + 2]) - max(box[at], other[at]) + 1) for at in (0, 1)
    )
    areas = [(each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (box, other)]
    return wide * high / (sum(areas) - wide * high)


def iou_curve(scoremap, truth, *, every):
    return [
        max(iou(box, other) for box in boxes_at(scoremap, tau, every=every) for other in truth)
        for tau in THRESHOLDS
    ]


def max_box_accs(scoremaps, truths, *, every):
    """Return the accuracy at each IoU bound, at its best threshold of the whole set."""
    curves = np.array(
        [iou_curve(*pair, every=every) for pair in zip(scoremaps, truths, strict=True)]
    )
    return [(curves >= delta).mean(axis=0).max() for delta in DELTAS]


def pxap(scoremaps, masks):
    """Return the area under precision and recall; a mask is 1 inside, 0 outside, 255 void."""
    edges = np.append(THRESHOLDS, [1.0, 2.0, 3.0])
    hists = [
        sum(
            np.histogram(scoremap[mask == value], bins=edges)[0]
            for scoremap, mask in zip(scoremaps, masks, strict=True)
        )
        for value in (1, 0)
    ]
    shared, wrong = (np.cumsum(hist[::-1]) for hist in hists)
    predicted = shared + wrong
    precision = np.divide(shared, predicted, out=np.zeros(len(shared)), where=predicted > 0)
    recall = shared / shared[-1]
    return float((precision[1:] * np.diff(recall)).sum())
