import json

import numpy as np
import pytest
from rich.console import Console

from raypipe.evaluate.aggregate import Answers, aggregate
from raypipe.evaluate.boxes import BOUNDS
from raypipe.evaluate.pictures import Case, Panel
from raypipe.evaluate.pxap import pixel_rows
from raypipe.evaluate.report import render_html, render_json
from raypipe.evaluate.shown import gain
from raypipe.evaluate.summary import summary_table
from raypipe.evaluate.totals import Question
from raypipe.tables import METRICS, OVERLAPS

TITLES = {"dog": "dog", "boat": "[bold]boat", "train": "train", "unseen": "unseen"}


def packed(ious):
    """Return the bits of (2, 100) IoUs, V1 and V2."""
    return np.packbits(ious[:, None] >= np.array(BOUNDS)[None, :, None], axis=-1).tobytes()


def sides(entry):
    """Return a metric's entry without its intervals."""
    return {name: entry[name] for name in ("plain", "refined")}


class Tables:
    """What was measured of a set, a few images a shard."""

    def __init__(self, rows, pixels=(), overlaps=(), size=2):
        images = sorted({item["image_id"] for item in rows})
        self.shards = [str(at) for at in range(max(1, -(-len(images) // size)))]
        self._rows = {shard: [] for shard in self.shards}
        for item in rows:
            self._rows[str(images.index(item["image_id"]) // size)].append(item)
        self._pixels, self._overlaps = pixels, overlaps

    def metrics(self, shard):
        return METRICS.build(self._rows[shard])

    def pixels(self, shard):
        return pixel_rows(self._pixels if shard == "0" else [])

    def overlaps(self, shard):
        return OVERLAPS.build(self._overlaps if shard == "0" else [])


def one_by_one(function, items, *shared):
    for item in items:
        yield item, function(item, *shared)


def aggregated(rows, rules=("plain", "classify"), asked=(), *, spread=one_by_one, **made):
    tables = Tables(rows, **made)
    answers = Answers(dict(asked), {})
    return aggregate(tables.shards, tables, Question(tuple(rules), 0.5), TITLES, answers, spread)[0]


def row(image_id, name, rule, box_iou, iou=None, *, fallback=False, rank=None, notes=()):
    curve = None if box_iou is None else packed(np.full((2, 100), box_iou))
    return {
        "image_id": image_id, "class": name, "rule": rule, "box_iou": box_iou,
        "box_hits": curve, "iou": iou, "precision": iou, "recall": None if iou is None else 1,
        "peak_inside": None if box_iou is None else box_iou > 0, "fallback": fallback,
        "rank": rank, "notes": list(notes),
    }  # fmt: skip


ROWS = [
    row("a", "boat", "plain", 0.25, 0.5), row("a", "boat", "classify", 0.75, 0.75),
    row("b", "boat", "plain", 0.5), row("b", "boat", "classify", 0.5, fallback=True),
    row("c", "boat", "plain", 0.0), row("c", "boat", "classify", 1.0),
    row("c", "dog", "plain", 0.5), row("c", "dog", "classify", 0.25),
    row("d", "train", "plain", None, 0.25), row("d", "train", "classify", None, 0.25),
    row("e", "dog", "plain", None), row("e", "dog", "classify", None),
]  # fmt: skip


def pixels():
    """Return boats whose plain maps tell nothing apart, and refined ones everything."""
    plain, refined = np.zeros((2, 2, 102), np.int64)
    plain[:, [50, 100]] = 2
    refined[0, 100], refined[1, 0] = 4, 4
    return [
        (image_id, "boat", rule, counts)
        for image_id in "ab"
        for rule, counts in (("plain", plain), ("classify", refined), ("filter", plain))
    ]


@pytest.fixture
def report():
    rows = [dict(item) for item in ROWS]
    rows += [item | {"rule": "filter"} for item in ROWS if item["rule"] == "plain"]
    for item in rows:
        if item["image_id"] == "a" or (item["image_id"], item["class"]) == ("c", "dog"):
            item["notes"] = ["missing"]
    numbers = aggregated(rows, ("plain", "classify", "filter"), {"boat": 3, "unseen": 9},
                         pixels=pixels())  # fmt: skip
    settings = {"refine": {"rules": ["classify", "filter"]}, "evaluate": {"box_iou": 0.5,
                "mask_threshold": 0.2}}  # fmt: skip
    return {"set": "val", "fingerprint": "0123abcd", "settings": settings} | numbers


def test_means_go_over_images_then_over_classes(report):
    classes = report["per_class"]
    assert sides(classes["boat"]["corloc"]) == {"plain": 1 / 3, "refined": 1.0}
    assert sides(classes["dog"]["corloc"]) == {"plain": 1.0, "refined": 0.0}
    # The train has no box: it is left out, not counted as 0.
    assert sides(classes["train"]["corloc"]) == {"plain": None, "refined": None}
    assert sides(report["corloc"]) == {"plain": (1 / 3 + 1) / 2, "refined": 0.5}
    assert sides(report["iou"]) == {"plain": (0.5 + 0.25) / 2, "refined": (0.75 + 0.25) / 2}
    assert sides(report["recall"]) == {"plain": 1.0, "refined": 1.0}
    # Boats 0.25, 0.5 and 0 point inside twice, and always when refined; dogs always.
    assert sides(report["pointing"]) == {"plain": pytest.approx((2 / 3 + 1) / 2), "refined": 1.0}


def test_max_box_acc_pools_the_pairs_of_the_set(report):
    # IoUs 0.25, 0.5, 0, 0.5 before and 0.75, 0.5, 1, 0.25 after, the same at every threshold.
    assert sides(report["max_box_acc"]) == {"plain": 2 / 4, "refined": 3 / 4}
    assert sides(report["max_box_acc_v2"]) == {
        "plain": pytest.approx((2 / 4 + 2 / 4 + 0) / 3),
        "refined": pytest.approx((3 / 4 + 3 / 4 + 2 / 4) / 3),
    }
    assert report["max_box_acc_threshold"] == {"plain": 0.0, "refined": 0.0}


def test_pxap_pools_pixels(report):
    # By hand: of 8 pixels with the score 1, 4 are inside, and so are 4 of 8 with a lower one.
    assert report["pxap"]["plain"] == pytest.approx(4 / 8 * 4 / 8 + 8 / 16 * 4 / 8)
    assert report["pxap"]["refined"] == 1.0
    assert report["pxap"]["gain_interval"] == [0.5, 0.5]  # both images are alike
    assert report["per_class"]["boat"]["pxap"]["refined"] == 1.0
    assert report["per_class"]["dog"]["pxap"]["plain"] is None


def test_one_threshold_serves_the_whole_set_not_each_image():
    curves = np.zeros((3, 2, 100))
    curves[0, :, 10:40] = curves[1, :, 30:60] = curves[2, :, 70:80] = 0.8
    rows = [
        row(image_id, "boat", rule, 0.8) | {"box_hits": packed(curve)}
        for image_id, curve in zip("abc", curves, strict=True)
        for rule in ("plain", "classify")
    ]
    numbers = aggregated(rows)
    assert numbers["max_box_acc"]["plain"] == pytest.approx(2 / 3)  # not 1, the common mistake
    assert numbers["max_box_acc_threshold"]["plain"] == pytest.approx(0.3)


def test_intervals_hold_the_values_and_pair_the_images(report):
    for entry in (report["corloc"], report["iou"], report["max_box_acc"]):
        for side in ("plain", "refined"):
            low, high = entry[f"{side}_interval"]
            assert low <= entry[side] <= high
    boats = report["per_class"]["boat"]["corloc"]
    assert boats["gain_interval"] is not None
    dogs = report["per_class"]["train"]["iou"]  # one image tells nothing of the next
    assert dogs["gain_interval"] is None


def test_counts(report):
    assert {name: report[name] for name in ("classes", "images", "pairs", "missing")} == {
        "classes": 3, "images": 4, "pairs": 5, "missing": 2,
    }  # fmt: skip
    assert (report["fallbacks"], report["questions"]) == (1, 3)
    assert report["questions_per_class"] == 1.0
    assert (
        report["per_class"]["boat"] | {"images": 3, "questions": 3} == report["per_class"]["boat"]
    )
    assert list(report["per_class"]) == ["dog", "boat", "train"]


def test_answers_on_groups_count_once_for_all_classes():
    asked = {"*": 5, "boat": 1, "unseen": 9}
    numbers = aggregated(ROWS, asked=asked)
    assert (numbers["questions"], numbers["shared_questions"]) == (6, 5)
    assert numbers["questions_per_class"] == 2.0
    assert [item["questions"] for item in numbers["per_class"].values()] == [0, 1, 0]
    page = render_html(numbers | {"set": "val", "fingerprint": "0", "settings": {
        "refine": {}, "evaluate": {"box_iou": 0.5, "mask_threshold": 0.2}}})  # fmt: skip
    assert "6 answered in all, 5 of them about all classes at once" in page


def test_every_rule_is_reported_and_the_first_is_the_refined_one(report):
    assert list(report["rules"]) == ["plain", "classify", "filter"]
    for name in ("corloc", "iou", "max_box_acc", "precision", "recall"):
        assert report["rules"]["classify"][name] == report[name]["refined"]
        assert report["rules"]["filter"][name] == report[name]["plain"]


def test_json_has_the_promised_keys_and_is_strict(report):
    read = json.loads(render_json(report), parse_constant=pytest.fail)
    assert read == report
    assert {
        "corloc", "iou", "max_box_acc", "precision", "recall", "questions_per_class", "questions",
        "classes", "images", "pairs", "fallbacks", "missing", "per_class", "rules", "set",
        "fingerprint",
    } <= set(read)  # fmt: skip
    for item in read["per_class"].values():
        assert {
            "corloc",
            "iou",
            "max_box_acc",
            "precision",
            "recall",
            "images",
            "questions",
        } <= set(item)


def backwards(function, items, *shared):
    yield from reversed(list(one_by_one(function, items, *shared)))


def test_the_order_and_the_size_of_parts_change_nothing():
    generator = np.random.default_rng(5)
    rows = [
        row(f"image {at}", name, rule, *generator.random(2).astype(np.float32).tolist())
        for at in range(30) for name in ("boat", "dog") for rule in ("plain", "classify")
    ]  # fmt: skip
    found = [
        render_json(aggregated(rows, spread=spread, size=size))
        for spread, size in ((one_by_one, 30), (one_by_one, 1), (backwards, 4))
    ]
    assert found[0] == found[1] == found[2]


def test_top_1_and_top_5_need_the_box_and_the_class():
    rows = [
        row(image_id, "boat", rule, iou, rank=rank)
        for image_id, iou, rank in (("a", 0.9, 1), ("b", 0.9, 3), ("c", 0.9, 6), ("d", 0.9, 0),
                                    ("e", 0.1, 1))
        for rule in ("plain", "classify")
    ]  # fmt: skip
    numbers = aggregated(rows)
    assert [numbers[name]["plain"] for name in ("corloc", "top1_loc", "top5_loc")] == [
        0.8, 0.2, 0.4,
    ]  # fmt: skip
    assert aggregated(ROWS)["top1_loc"]["plain"] is None  # nobody knows the ranks


def test_mean_iou_pools_pixels_and_background_is_a_class():
    counts = {"": (70, 80, 80), "boat": (10, 20, 10), "dog": (0, 0, 10)}
    overlaps = [
        {"image_id": "a", "class": name, "rule": rule,
         **dict(zip(("shared", "predicted", "true"), pixels, strict=True))}
        for name, pixels in counts.items() for rule in ("plain", "classify")
    ]  # fmt: skip
    numbers = aggregated(ROWS, overlaps=overlaps)
    assert numbers["miou"]["plain"] == pytest.approx((70 / 90 + 10 / 20 + 0) / 3)
    assert numbers["per_class"]["boat"]["miou"]["plain"] == 0.5
    assert numbers["rules"]["classify"]["miou"] == numbers["miou"]["refined"]


def test_nothing_to_judge_is_null_not_an_error():
    numbers = aggregated([])
    assert sides(numbers["corloc"]) == {"plain": None, "refined": None}
    assert (numbers["pairs"], numbers["questions_per_class"]) == (0, 0.0)


def test_gain():
    assert gain({"plain": 0.25, "refined": 0.75}) == 0.5
    assert gain({"plain": None, "refined": None}) is None


def test_the_page_sorts_by_gain_and_names_what_is_missing(report):
    page = render_html(report)
    table = page[page.index("Classes, by gain") : page.index("Precision and recall")]
    assert table.index("[bold]boat") < table.index("train") < table.index(">dog")
    assert "0.333 →</span> 1.000" in table
    assert "−1.000" in table
    assert "<strong>2</strong> pairs have truth but no detection" in page
    assert "No image gained." in page
    assert "0123abcd" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_escapes_names(report):
    evil = "<script>alert(1)</script>"
    report["per_class"]["boat"]["title"] = evil
    panel = Panel("data:image/webp;base64,AA==", [(1.0, 2.0, 3.0, 4.0)], 0.25, None)
    case = Case('"><b>x', evil, 40, 20, [(0.0, 0.0, 9.0, 9.0)], panel, panel, -0.5)
    page = render_html(report, worst=[case])
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<b>x" not in page
    assert '<rect class="predicted" x="1.0" y="2.0" width="3.0" height="4.0"/>' in page
    assert '<rect class="truth" x="0.0"' in page


def test_a_set_with_boxes_only_shows_no_mask_metrics(report):
    nothing = {"plain": None, "refined": None}
    for name in ("iou", "precision", "recall"):
        report[name] = nothing
    page = render_html(report)
    assert "Precision and recall" not in page
    assert "Mask IoU" not in page


def test_terminal_table(report):
    console = Console(width=80)
    with console.capture() as capture:
        console.print(summary_table(report))
    text = capture.get()
    lines = text.splitlines()
    boat = next(line for line in lines if line.startswith("[bold]boat"))
    assert "0.33→1.00" in boat
    assert "+0.67" in boat
    mean = next(line for line in lines if line.startswith("CorLoc"))
    assert "0.667 → 0.500" in mean
    assert "−0.167" in mean
    assert "missing 2" in text
