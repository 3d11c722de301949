"""Every setting of a run: defaults < the run's own < TOML file < `RAYPIPE_*` variables < flags.

A nested setting is spelled `[extract] threshold` in a run file, `RAYPIPE_EXTRACT__THRESHOLD` in
the environment and `--set extract.threshold=0.3` on the command line. What only changes how fast a
step goes stands in [engine], which is no part of any fingerprint.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from raypipe.errors import ConfigError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Rule = Literal["classify", "filter"]


class Section(BaseModel):
    """A section of the configuration; unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def identity(self) -> dict[str, Any]:
        """Return the settings as a step's fingerprint takes them."""
        return self.model_dump(mode="json")


class ToyWorldConfig(Section):
    """The drawn scenes of the demonstration."""

    images_per_class: PositiveInt = Field(60, description="scenes of each class in each split")
    size: int = Field(160, ge=64, description="width and height of a scene, pixels")
    seed: int = Field(0, ge=0, description="seed of the drawing")


class DatasetConfig(Section):
    """The training images."""

    name: str = Field("imagefolder", description="dataset plug-in")
    root: str = Field("", description="path or URI of the dataset; else RAYPIPE_ROOT_<NAME>")
    split: str = Field("train", description="split whose regions are clustered")
    class_file: str = Field("", description="file with the classes to use, one a line")
    only: tuple[str, ...] = Field((), description="use only these classes")
    label_column: str = Field(
        "", description="Parquet column of the classes; empty = the one there is"
    )
    limit: int = Field(
        0, ge=0, description="leave an image out when its classes have this many, 0 = none"
    )
    shard_size: PositiveInt = Field(128, description="images a shard, the unit of commit")
    toyworld: ToyWorldConfig = ToyWorldConfig()


class TargetConfig(Section):
    """The images to refine and evaluate on; what is not set is as in [dataset]."""

    name: str = Field("", description="dataset plug-in")
    root: str = Field("", description="path or URI")
    split: str = Field("val", description="split to refine")
    classes: tuple[str, ...] = Field((), description="look for these classes in every image")
    truth: str = Field(
        "",
        description="evaluate with it instead of the dataset's own: COCO JSON, or a folder of "
        "wsolevaluation's metadata",
    )
    maps: dict[str, str] = Field(
        {}, description="evaluate other methods' maps, too: folder or Parquet by name"
    )
    predictions: str = Field(
        "",
        description="classes for Top-1 and Top-5 instead of the network's own: CSV or Parquet "
        "image_id,class,rank",
    )


class LocalizerConfig(Section):
    """The network and how its maps are made."""

    name: str = Field("cam", description="localizer plug-in")
    architecture: str = Field("resnet50", description="torchvision name of the network, or toynet")
    weights: str = Field(
        "DEFAULT", description="torchvision weights name, or a .pth or .safetensors file"
    )
    input_size: int = Field(0, ge=0, description="square input, pixels; 0 = the family's default")
    layer: str = Field("", description="mid-level layer; empty = the family's default")
    network_classes: str = Field("", description="file naming the network's outputs, one a line")
    mapping: str = Field("", description="CSV file `class,network_class`")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto = bfloat16 where the hardware has it"
    )


class FitConfig(Section):
    """The linear head learned from image-level labels."""

    c: float = Field(1e-3, gt=0, description="inverse regularisation of the logistic regression")
    every_class: bool = Field(False, description="also learn classes that the network knows")


class ExtractConfig(Section):
    """Which cells become regions."""

    threshold: Share = Field(0.2, description="foreground: score above this share of the maximum")
    regions_per_class: PositiveInt = Field(5000, description="regions kept of a class, at most")
    background_threshold: Share = Field(0.1, description="background bank: score below this")
    background_per_class: int = Field(5000, ge=0, description="cells of the bank, at most")
    dimensions: int = Field(
        512, ge=0, description="of the stored features, a random projection; 0 = all"
    )
    seed: int = Field(0, description="seed of the sampling and of the projection")


class ClusterConfig(Section):
    """The affinity graph and its clusters."""

    scope: Literal["class", "all"] = Field(
        "class", description="all = group look-alike clusters of all classes, to answer at once"
    )
    neighbors: PositiveInt = Field(20, description="nearest neighbours of the graph")
    max_clusters: PositiveInt = Field(8, description="clusters of a class, at most")
    clusters: dict[str, PositiveInt] = Field(
        {}, description="number of clusters, by class; by `*`: of groups"
    )
    splits: tuple[str, ...] = Field((), description="clusters to split further, as boat/2")
    clear_gap: Share = Field(0.1, description="an eigengap this large says the number of clusters")
    budget: PositiveInt = Field(3, description="clusters where no gap is clear, at most")
    structure: Share = Field(0.9, description="one cluster where the second eigenvalue is below")
    alike: float = Field(
        0.3,
        ge=0,
        description="without a clear gap, clusters are asked about together whose shares with the "
        "background differ by less, in units of the class's",
    )
    min_share: Share = Field(0.015, description="smaller clusters join the nearest larger one")
    references: PositiveInt = Field(
        2000, description="regions of a class that cells are compared with, and as many of its bank"
    )
    seed: int = Field(0, description="seed of the eigensolver and of the references' sample")


class SheetsConfig(Section):
    """The contact sheets."""

    tiles: PositiveInt = Field(12, description="crops shown of a cluster")
    tile: int = Field(160, ge=48, description="width and height of a crop, pixels")


class SimulateConfig(Section):
    """The annotator that answers from ground truth."""

    enabled: bool = Field(False, description="`raypipe run` lets it answer instead of a person")
    min_share: Share = Field(0.3, description="object: this share of regions lies on the class")
    error_rate: Share = Field(
        0.0,
        description="share of answers turned round; 0.05 for two annotators to agree as people do",
    )
    unsure_rate: Share = Field(0.0, description="share of answers that are unsure instead")
    annotators: PositiveInt = Field(
        1, description="how many answer, each with errors of its own, as simulated-1, -2, …"
    )
    seed: int = Field(0, description="seed of the errors")


class RefineConfig(Section):
    """How regions decide over a map."""

    rules: tuple[Rule, ...] = Field(("classify",), min_length=1, description="classify, filter")
    neighbors: PositiveInt = Field(50, description="nearest regions that vote on a cell")
    gamma: float = Field(0.6, gt=0, description="classify: exponent of the plain map")
    unanswered: Literal["skip", "guess"] = Field(
        "skip",
        description="clusters that nobody answered: skip = they have no vote, guess = they vote by "
        "what their share with the background says, also in classes without any answer",
    )
    floor: Share = Field(0.05, description="classify: cells at or below stay zero")
    threshold: Share = Field(0.2, description="filter: foreground cells; boxes: share of the peak")
    all_components: bool = Field(False, description="write a box for every component")


class EvaluateConfig(Section):
    """The metrics and the report."""

    box_iou: Share = Field(0.5, description="a box counts from this IoU on")
    mask_threshold: Share = Field(0.2, description="mask: score above this share of the maximum")
    box_threshold: Share = Field(
        0.2, description="boxes of other methods' maps: score above this share of the maximum"
    )
    worst: PositiveInt = Field(8, description="worst and best cases shown in the report")


class MasksConfig(Section):
    """Masks at image size; the CRF's weights are ours where SEC's are named beside them."""

    rules: tuple[Literal["plain", "classify", "filter"], ...] = Field(
        (), description="detections to draw; empty = by the first rule that was refined with"
    )
    threshold: float = Field(
        0.2, gt=0, lt=1, description="mask: score above this share of the maximum"
    )
    crf: bool = Field(False, description="let a dense CRF draw the masks")
    exponent: float = Field(
        0.0, ge=0, description="CRF: p(class) = map to this power; 0 = the threshold has p = 0.5"
    )
    floor: float = Field(0.05, gt=0, lt=0.5, description="CRF: least probability of the unary")
    bilateral: float = Field(
        2.0, ge=0, description="CRF: weight of the position-colour kernel (SEC: 10)"
    )
    position: float = Field(30.0, gt=0, description="CRF: its standard deviation, pixels (SEC: 80)")
    colour: float = Field(
        13.0, gt=0, description="CRF: its standard deviation, levels of 0..255 (SEC: 13)"
    )
    smoothness: float = Field(1.0, ge=0, description="CRF: weight of the position kernel (SEC: 3)")
    radius: float = Field(3.0, gt=0, description="CRF: its standard deviation, pixels (SEC: 3)")
    iterations: PositiveInt = Field(10, description="CRF: of the mean field")
    cells: PositiveInt = Field(
        4096, description="CRF: exact up to this many pixels, else on a grid of so many cells"
    )


class S3Config(Section):
    """How to reach buckets; part of every s3:// URI that does not say it itself."""

    endpoint: str = Field("", description="URL of a store other than AWS")
    region: str = Field("", description="of the buckets; empty = as AWS tools are configured")
    anonymous: bool = Field(False, description="send no credentials, for public buckets")
    profile: str = Field("", description="of the AWS configuration file")


class EngineConfig(Section):
    """Where and how wide the work runs; nothing here changes a result."""

    address: str = Field("", description="Ray cluster to join; empty = a running one, else local")
    cpus: int = Field(0, ge=0, description="logical CPUs of a local cluster; 0 = all")
    device: Literal["auto", "gpu", "cpu"] = Field(
        "auto",
        description="of the networks; gpu = wait for GPUs where there are none yet, "
        "auto = on GPUs if the cluster has any when the command starts",
    )
    min_actors: int = Field(
        0,
        ge=0,
        description="network actors to ask an autoscaler for from the start, as far as there are "
        "shards for them; 0 = those that fit the cluster as it is",
    )
    max_actors: int = Field(
        0, ge=0, description="network actors to grow to, at most; 0 = as the cluster grows"
    )
    gpus_per_actor: float = Field(1.0, gt=0, description="GPUs an actor takes on GPUs")
    cpus_per_actor: PositiveInt = Field(1, description="CPUs, and threads, of an actor on CPUs")
    batch_size: int = Field(
        0, ge=0, description="images a forward pass; 0 = what suits the device and the input size"
    )
    max_reject_share: Share = Field(0.05, description="exit 5 when more inputs are rejected")
    max_pixels: PositiveInt = Field(100_000_000, description="larger images are rejected")


class Settings(BaseSettings):
    """The whole configuration of a run."""

    model_config = SettingsConfigDict(
        env_prefix="RAYPIPE_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
    )

    run: str = Field("", description="run directory or URI; empty = runs/<dataset>")
    dataset: DatasetConfig = DatasetConfig()
    target: TargetConfig = TargetConfig()
    localizer: LocalizerConfig = LocalizerConfig()
    fit: FitConfig = FitConfig()
    extract: ExtractConfig = ExtractConfig()
    cluster: ClusterConfig = ClusterConfig()
    sheets: SheetsConfig = SheetsConfig()
    simulate: SimulateConfig = SimulateConfig()
    refine: RefineConfig = RefineConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    masks: MasksConfig = MasksConfig()
    s3: S3Config = S3Config()
    engine: EngineConfig = EngineConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags, environment, run file, what the run remembers."""
        del dotenv_settings, file_secret_settings
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 -- pydantic's contract
        given = dict(init_settings.init_kwargs)
        file, saved = given.pop("_file", {}), given.pop("_saved", {})
        return (
            InitSettingsSource(settings_cls, given),
            env_settings,
            InitSettingsSource(settings_cls, file),
            InitSettingsSource(settings_cls, saved),
        )


def load(
    file: str | None = None,
    flags: dict[str, Any] | None = None,
    saved: dict[str, Any] | None = None,
) -> Settings:
    """Put the configuration together.

    Args:
        file: A TOML run file, or None.
        flags: Nested values that win over everything else, as `{"extract": {"threshold": 0.3}}`.
        saved: What the run directory remembers; everything else wins over it.

    Raises:
        ConfigError: If the file cannot be read or a value does not fit; all problems in one go.
    """
    content = _read_toml(file) if file else {}
    _refuse_unknown(content, file or "")
    _refuse_unknown(flags or {}, "flags")
    try:
        return Settings(_file=content, _saved=saved or {}, **(flags or {}))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: "
            + ("unknown setting" if item["type"] == "extra_forbidden" else item["msg"])
            for item in error.errors()
        )
        where = f"{file} and flags" if file else "the configuration"
        raise ConfigError(
            f"{where}: {problems}",
            "see docs/reference/configuration.md for every setting and its range",
        ) from None


def _read_toml(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror})", "name an existing run file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not a TOML file ({error})", "mend the line it names") from None


def _refuse_unknown(content: dict[str, Any], file: str) -> None:
    for name in content:
        if name not in Settings.model_fields:
            near = difflib.get_close_matches(name, Settings.model_fields, n=1)
            hint = f"did you mean {near[0]}?" if near else "see docs/reference/configuration.md"
            raise ConfigError(f"{file}: unknown setting {name}", hint)


def dataset_root(name: str, root: str) -> str:
    """Return the root of a dataset: the one given, else `RAYPIPE_ROOT_<NAME>`.

    Raises:
        ConfigError: If neither is set.
    """
    variable = f"RAYPIPE_ROOT_{name.upper().replace('-', '_')}"
    found = root or os.environ.get(variable, "")
    if not found:
        raise ConfigError(
            f"dataset {name}: no root given",
            f"pass --root PATH_OR_URI, set {variable}, or set root in [dataset] of the run file",
        )
    return found
