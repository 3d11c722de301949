"""The tables that steps meet in: one Arrow schema each, a comment a column, and a check.

Steps never call each other; whatever one step knows of another stands in these tables. A schema's
version is written into every manifest, and a run of a newer version is refused with a clear error.
"""

from __future__ import annotations

import pyarrow as pa

from raypipe.columns import SIDES
from raypipe.schema import Table, column

SCHEMA_VERSION = 2
"""Version of the run directory's layout and of all tables; grows with every breaking change."""

SHARED = "*"
"""In place of a class: a group of look-alike clusters of several classes, answered at once."""


_VECTOR = pa.list_(pa.float32())
_HALVES = pa.list_(pa.float16())
_TIME = pa.timestamp("ms", tz="UTC")
_CELL = pa.struct([("image_id", pa.string()), ("row", pa.int32()), ("col", pa.int32())])
_BOX = pa.struct([(side, pa.float32()) for side in SIDES])
_GRID = (
    column("width", pa.int32(), "image width, pixels, in the frame after EXIF rotation"),
    column("height", pa.int32(), "image height, pixels, in the frame after EXIF rotation"),
    column("grid_width", pa.int32(), "cells across the map"),
    column("grid_height", pa.int32(), "cells down the map"),
)

IMAGES = Table(
    "images",
    "index/<set>/images/<part>.parquet",
    "one image of an indexed set; a part holds whole shards, a row group each",
    (
        column("image_id", pa.string(), "stable name of the image, unique in its set"),
        column("uri", pa.string(), "file, byte range or Parquet cell of the encoded image"),
        column("classes", pa.list_(pa.string()), "image-level labels; may be empty"),
        column(
            "ordinals",
            pa.list_(pa.int64()),
            "for each label, the image's place among that class's images, from 0",
        ),
        column("mask_uri", pa.string(), "PNG of class numbers, 255 = void", nullable=True),
        column("shard", pa.string(), "unit of work and of commit; the name follows its content"),
    ),
)

SHARDS = Table(
    "shards",
    "index/<set>/shards.parquet",
    "one shard of an indexed set",
    (
        column("shard", pa.string(), "unit of work and of commit; the name follows its content"),
        column("part", pa.string(), "part of the images and boxes tables that holds its rows"),
        column("images", pa.int64(), "images of the shard"),
    ),
)

CLASSES = Table(
    "classes",
    "index/<set>/classes.parquet",
    "one class of the dataset, in the dataset's order",
    (
        column("class", pa.string(), "class name, as used everywhere in the run"),
        column("title", pa.string(), "name for people"),
        column("images", pa.int64(), "images of the set that carry the label"),
        column(
            "network_index",
            pa.int32(),
            "output of every ILSVRC-2012 classifier for this class",
            nullable=True,
        ),
        column("mask_value", pa.int32(), "pixel value in mask PNGs, 1..254", nullable=True),
    ),
)

BOXES = Table(
    "boxes",
    "index/<set>/boxes/<part>.parquet",
    "one ground-truth box; read by evaluate and by the simulated annotator only",
    (
        column("image_id", pa.string(), "image the box lies in"),
        column("class", pa.string(), "class of the object"),
        column("x0", pa.float32(), "left edge, pixels of the original image"),
        column("y0", pa.float32(), "top edge, pixels"),
        column("x1", pa.float32(), "right edge, pixels, exclusive"),
        column("y1", pa.float32(), "bottom edge, pixels, exclusive"),
        column("difficult", pa.bool_(), "marked difficult by the dataset"),
    ),
)

HEAD = Table(
    "head",
    "fit/head.parquet",
    "one class of the linear head learned on frozen features",
    (
        column("class", pa.string(), "class name"),
        column("weight", _VECTOR, "(d,) weights on the input of the network's last layer"),
        column("bias", pa.float32(), "intercept"),
        column("images", pa.int64(), "training images with the label"),
    ),
)

EMBEDDINGS = Table(
    "embeddings",
    "fit/embeddings/<shard>.parquet",
    "one image's globally pooled feature",
    (
        column("image_id", pa.string(), "image"),
        column("embedding", _VECTOR, "(d,) input of the network's last linear layer"),
    ),
)

MAPS = Table(
    "maps",
    "extract/maps/<shard>.parquet",
    "the foreground map of one class in one image",
    (
        column("image_id", pa.string(), "image"),
        column("class", pa.string(), "class the map is for"),
        *_GRID,
        column("map", _HALVES, "(grid_height * grid_width,) scores in 0..1, row-major"),
        column("peak", pa.float32(), "the localizer's raw score at the map's maximum"),
        column("score", pa.float32(), "the network's image-level score of the class"),
    ),
)

REGIONS = Table(
    "regions",
    "extract/regions/<shard>.parquet",
    "one region: a sampled cell of a foreground map and its feature",
    (
        column("image_id", pa.string(), "image"),
        column("class", pa.string(), "class whose map chose the cell"),
        column("row", pa.int32(), "cell row, from 0 at the top"),
        column("col", pa.int32(), "cell column, from 0 at the left"),
        column("score", pa.float32(), "map value at the cell, 0..1"),
        column("background", pa.bool_(), "true: a cell of the background bank, not foreground"),
        column("feature", _HALVES, "(k,) mid-level feature, projected, L2 norm 1"),
    ),
)

REJECTS = Table(
    "rejects",
    "<step>/rejects/<shard>.parquet",
    "one input that could not be processed",
    (
        column("image_id", pa.string(), "image"),
        column("uri", pa.string(), "where it was read from"),
        column("reason", pa.string(), "missing, empty, undecodable, too_large or non_finite"),
        column("detail", pa.string(), "the decoder's or file system's own words"),
    ),
)

PROJECTION = Table(
    "projection",
    "extract/projection.parquet",
    "one dimension of the stored features",
    (column("direction", _VECTOR, "(d,) unit vector in the network's features, orthogonal rows"),),
)

ASSIGNMENTS = Table(
    "assignments",
    "cluster/assignments/<class>.parquet",
    "the cluster of one region",
    (
        column("class", pa.string(), "class that was clustered"),
        column("cluster", pa.int32(), "cluster number, from 1, the largest first"),
        column("image_id", pa.string(), "image of the region"),
        column("row", pa.int32(), "cell row of the region"),
        column("col", pa.int32(), "cell column of the region"),
        column("typicality", pa.float32(), "cosine to the cluster's mean direction, -1..1"),
    ),
)

CLUSTERS = Table(
    "clusters",
    "cluster/clusters.parquet",
    "one cluster of a class: what a person is asked about",
    (
        column("class", pa.string(), "class that was clustered"),
        column("cluster", pa.int32(), "cluster number, from 1, the largest first"),
        column("regions", pa.int64(), "regions in the cluster"),
        column("share", pa.float32(), "share of the class's regions, 0..1"),
        column("images", pa.int64(), "images with a region in it; of a group: its clusters' sum"),
        column("image_share", pa.float32(), "share of the class's images, 0..1"),
        column("membership", pa.string(), "fingerprint of which regions are in the cluster"),
        column(
            "group",
            pa.int32(),
            "the cluster of class `*` that is asked about instead; null: it is asked about itself",
            nullable=True,
        ),
        column(
            "background",
            pa.float32(),
            "share of the background bank among the neighbours of its regions, 0..1",
        ),
        column("centroid", _HALVES, "(k,) mean of the regions' features, as stored"),
        column("exemplars", pa.list_(_CELL), "the most typical regions, each of another image"),
    ),
)

REFERENCES = Table(
    "references",
    "cluster/references/<class>.parquet",
    "one region that cells of new images are compared with",
    (
        column("class", pa.string(), "class that was clustered"),
        column("cluster", pa.int32(), "cluster number; 0 = a cell of the background bank"),
        column("feature", _HALVES, "(k,) feature minus the class's centre, L2 norm 1"),
    ),
)

SPECTRA = Table(
    "spectra",
    "cluster/spectra.parquet",
    "the spectrum of one class's affinity graph",
    (
        column("class", pa.string(), "class that was clustered"),
        column("eigenvalues", pa.list_(pa.float64()), "largest of D^-1/2 A D^-1/2, descending"),
        column("clusters", pa.int32(), "number of clusters"),
        column("reason", pa.string(), "what decided the number of clusters"),
        column("components", pa.int32(), "connected components of the graph"),
        column("isolated", pa.int64(), "regions in components too small to be a cluster"),
        column("residual", pa.float64(), "largest residual norm of the eigenpairs"),
        column("solver", pa.string(), "eigensolver of the largest component: dense, filtered, …"),
        column("recall", pa.float32(), "share of true neighbours in the graph, on a sample"),
        column("regions", pa.int64(), "regions that were clustered"),
        column("centre", _VECTOR, "(d,) feature that was subtracted: the middle of the class"),
    ),
)

LABELS = Table(
    "labels",
    "labels/<number>-<digits>.parquet",
    "one answer of one annotator, or that it is taken back",
    (
        column("class", pa.string(), "class"),
        column("cluster", pa.int32(), "cluster number"),
        column("verdict", pa.string(), "object, distractor, unsure; withdrawn: answer taken back"),
        column("annotator", pa.string(), "who answered"),
        column("seconds", pa.float32(), "time the answer took", nullable=True),
        column("note", pa.string(), "free text"),
        column("membership", pa.string(), "fingerprint of the cluster that was shown"),
        column("at", _TIME, "when it was recorded; null in old files", nullable=True),
    ),
)

DETECTIONS = Table(
    "detections",
    "refine/<set>/detections/<shard>.parquet",
    "boxes and map of one class in one image, by one rule",
    (
        column("image_id", pa.string(), "image"),
        column("class", pa.string(), "class"),
        column("rule", pa.string(), "plain (no refinement), classify or filter"),
        *_GRID,
        column("map", _HALVES, "(grid_height * grid_width,) scores in 0..1, row-major"),
        column("boxes", pa.list_(_BOX), "boxes, largest component first; pixels, end exclusive"),
        column("score", pa.float32(), "the network's image-level score of the class"),
        column("rank", pa.int32(), "place of that score among those of the run's classes, from 1"),
        column("fallback", pa.bool_(), "true: nothing to refine with, the map is the plain one"),
        column(
            "guessed",
            pa.float32(),
            "share of the class's regions whose votes nobody answered: guessed, 0..1",
        ),
    ),
)

MASKS = Table(
    "masks",
    "masks/<set>/masks/<shard>.parquet",
    "the mask of one class in one image, by one rule",
    (
        column("image_id", pa.string(), "image"),
        column("class", pa.string(), "class"),
        column("rule", pa.string(), "of the detection: plain, classify or filter"),
        column("width", pa.int32(), "image width, pixels, in the frame after EXIF rotation"),
        column("height", pa.int32(), "image height, pixels, in the frame after EXIF rotation"),
        column("counts", pa.binary(), "COCO's compressed run lengths, at image size"),
        column("pixels", pa.int64(), "pixels inside"),
        column("drawn", pa.string(), "how: threshold or crf"),
    ),
)

TRUTH = Table(
    "truth",
    "evaluate/<set>/truth.parquet",
    "one object, or one region without a verdict, of a truth file",
    (
        column("image_id", pa.string(), "image"),
        column("class", pa.string(), "class"),
        column("box", _BOX, "box, pixels of the truth's frame, end exclusive", nullable=True),
        column("counts", pa.binary(), "mask as COCO's compressed run lengths", nullable=True),
        column("mask_uri", pa.string(), "mask as a grey PNG: pixels above 0", nullable=True),
        column("width", pa.int32(), "width of the truth's frame, pixels", nullable=True),
        column("height", pa.int32(), "height of the truth's frame, pixels", nullable=True),
        column("void", pa.bool_(), "true: its pixels count neither way, where no object lies"),
    ),
)

METRICS = Table(
    "metrics",
    "evaluate/<set>/metrics/<shard>.parquet",
    "how well one detection fits the truth; null where there is no truth of that kind",
    (
        column("image_id", pa.string(), "image"),
        column("class", pa.string(), "class"),
        column("rule", pa.string(), "plain, classify, filter, or the name of other maps"),
        column("box_iou", pa.float32(), "best IoU of the first box with a true box", nullable=True),
        column(
            "box_hits",
            pa.binary(78),
            "bits, 13 bytes a curve of 100 thresholds: the largest contour's box (V1) reaches IoU "
            "0.3, 0.5, 0.7, then any contour's (V2)",
            nullable=True,
        ),
        column("rank", pa.int32(), "place of the class among the predicted ones", nullable=True),
        column("peak_inside", pa.bool_(), "the map peaks inside the object", nullable=True),
        column("iou", pa.float32(), "pixel IoU with the class's mask, void ignored", nullable=True),
        column("precision", pa.float32(), "pixel precision, void ignored", nullable=True),
        column("recall", pa.float32(), "pixel recall, void ignored", nullable=True),
        column("fallback", pa.bool_(), "the detection fell back to the plain map"),
        column("notes", pa.list_(pa.string()), "what did not match, as the report counts it"),
    ),
)

PIXELS = Table(
    "pixels",
    "evaluate/<set>/pixels/<shard>.parquet",
    "scores of one map inside and outside the class's mask, at 224 x 224; for PxAP",
    (
        column("image_id", pa.string(), "image"),
        column("class", pa.string(), "class"),
        column("rule", pa.string(), "as in metrics"),
        column("inside", pa.list_(pa.int32()), "(102,) pixels of the class a bin, ascending"),
        column("outside", pa.list_(pa.int32()), "(102,) other pixels a bin, void left out"),
    ),
)

OVERLAPS = Table(
    "overlaps",
    "evaluate/<set>/overlaps/<shard>.parquet",
    "pixels of one class in one image, where each pixel has one class at most; for mean IoU",
    (
        column("image_id", pa.string(), "image"),
        column("class", pa.string(), "class; empty: the background"),
        column("rule", pa.string(), "as in metrics"),
        column("shared", pa.int64(), "pixels of the class that are predicted as it"),
        column("predicted", pa.int64(), "pixels that are predicted as it, void left out"),
        column("true", pa.int64(), "pixels of the class"),
    ),
)

ALL = (
    IMAGES, SHARDS, CLASSES, BOXES, EMBEDDINGS, HEAD, MAPS, REGIONS, PROJECTION, REJECTS,
    ASSIGNMENTS, CLUSTERS, REFERENCES, SPECTRA, LABELS, DETECTIONS, MASKS, TRUTH, METRICS,
    PIXELS, OVERLAPS,
)  # fmt: skip
"""Every table, in the order of the pipeline; the reference page is generated from it."""
