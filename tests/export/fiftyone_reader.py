"""Reads datasets with FiftyOne and prints what they hold; a process of its own, see the test."""

import json
import sys

import fiftyone as fo
import numpy as np


def heatmaps(sample) -> dict:
    names = [name for name in sample.field_names if name.startswith("heatmap")]
    found = {}
    for name in names:
        label = sample[name]
        if label is not None:
            label_map = np.asarray(label.get_map() if hasattr(label, "get_map") else label.map)
            found[name] = [label.label, list(label.range), label_map.tolist()]
    return found


def detections(sample) -> list:
    return [
        [one.label, one.bounding_box, one.confidence,
         None if one.mask is None else np.asarray(one.mask).astype(int).tolist()]
        for one in sample.detections.detections
    ]  # fmt: skip


for folder in sys.argv[1:]:
    dataset = fo.Dataset.from_dir(dataset_dir=folder, dataset_type=fo.types.FiftyOneDataset)
    rows = [
        {
            "image_id": sample.image_id, "filepath": sample.filepath, "id": sample.id,
            "size": [sample.metadata.width, sample.metadata.height],
            "detections": detections(sample), "heatmaps": heatmaps(sample),
        }
        for sample in dataset
    ]  # fmt: skip
    # What the App asks for: a query over the fields.
    counts = dataset.count_values("detections.detections.label")
    high = dataset.filter_labels("detections", fo.ViewField("confidence") > 1)
    reloaded = dataset.first()
    reloaded["note"] = "x"
    reloaded.save()
    found = {
        "rows": rows,
        "counts": counts,
        "high": high.count("detections.detections"),
        "default_classes": dataset.default_classes,
        "schema": sorted(dataset.get_field_schema()),
    }
    sys.stdout.write(json.dumps(found) + "\n")
