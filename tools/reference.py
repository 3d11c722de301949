"""Write the reference pages from the code, or check that they are in step with it.

python tools/reference.py            write docs/reference/*.md
python tools/reference.py --check    exit 1 and name the pages that differ
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from raypipe.cli.app import app
from raypipe.config import Section, Settings
from raypipe.localizers.architectures import FAMILIES, INPUT_SIZE
from raypipe.tables import ALL, SCHEMA_VERSION

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTE = "<!-- Written by tools/reference.py: change the code, then run `make docs`. -->\n"


def cli_page() -> str:
    """Return the page of all commands."""
    command = typer.main.get_command(app)
    parts = ["# Command line\n", NOTE]
    for path, item in _commands(command, "raypipe"):
        parts.append(f"## {path}\n\n{_plain(item.help)}\n")
        arguments = [one for one in item.params if one.param_type_name == "argument"]
        usage = " ".join([path, "[OPTIONS]", *(one.name.upper() for one in arguments)])
        parts.append(f"```\n{usage}\n```\n")
        rows = [_option_row(one) for one in item.params if one.param_type_name == "option"]
        if rows:
            parts.append("| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n")
        if item.epilog:
            parts.append(f"{_plain(item.epilog)}\n")
    return "\n".join(parts)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name in sorted(command.commands):
        yield from _commands(command.commands[name], f"{path} {name}")


def _option_row(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    return f"| {names} | {_plain(option.help).replace('|', '/')} |"


def _plain(text: str | None) -> str:
    return re.sub(r"\n +", "\n", (text or "").strip())


def table_page() -> str:
    """Return the page of all tables."""
    parts = [
        "# Tables\n",
        NOTE,
        f"Every table of a run directory, schema version {SCHEMA_VERSION}. All are Parquet; names "
        "of parts end in the first digits of the step's fingerprint.\n",
    ]
    for table in ALL:
        parts.append(f"## {table.name}\n\n`{table.path}` — {table.row}.\n")
        parts.append("| column | type | meaning |\n|---|---|---|")
        for field in table.schema:
            null = ", may be null" if field.nullable else ""
            doc = field.metadata[b"doc"].decode()
            parts.append(f"| `{field.name}` | `{field.type}`{null} | {doc} |")
        parts.append("")
    return "\n".join(parts)


def configuration_page() -> str:
    """Return the page of all settings."""
    parts = [
        "# Configuration\n",
        NOTE,
        "Defaults < what the run remembers < TOML run file < environment < flags. A setting of "
        "section `extract` is `[extract]` in a run file, `RAYPIPE_EXTRACT__THRESHOLD` in the "
        "environment and `--set extract.threshold=0.3` on the command line.\n",
    ]
    for name, info in Settings.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, Section):
            parts += _section(name, section)
    return "\n".join(parts)


def _section(name: str, section: type[Section]) -> list[str]:
    parts = [
        f"## [{name}]\n\n{section.__doc__}\n",
        "| setting | default | meaning |\n|---|---|---|",
    ]
    nested: list[str] = []
    for key, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            nested += _section(f"{name}.{key}", info.annotation)
            continue
        default = "`" + repr(info.default).replace("'", '"') + "`"
        parts.append(f"| `{key}` | {default} | {info.description} |")
    return [*parts, "", *nested]


def architecture_page() -> str:
    """Return the page of network families."""
    parts = [
        "# Networks\n",
        NOTE,
        "`trunk` is the last convolutional map, `mid` the layer whose cells become regions: the "
        "last one at stride 16, ResNet's `layer3` or its counterpart. Measured for ResNet-50, "
        "chosen by the same rule and not measured for the others.\n",
        "| networks | localizer | trunk | mid | head | input |\n|---|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        localizer = "cam, gradcam" if family.pooled else "gradcam"
        names = ", ".join(f"{prefix}…" for prefix in family.prefixes)
        layers = f"`{family.trunk}` | `{family.mid}` | `{family.head}`"
        parts.append(f"| {names} | {localizer} | {layers} | {family.input_size or INPUT_SIZE} |")
    return "\n".join([*parts, ""])


PAGES = {
    "cli.md": cli_page,
    "tables.md": table_page,
    "configuration.md": configuration_page,
    "networks.md": architecture_page,
}


def main() -> None:
    """Write the pages, or compare them."""
    stale = []
    for name, make in PAGES.items():
        place, text = FOLDER / name, make()
        if "--check" in sys.argv[1:]:
            if not place.exists() or place.read_text(encoding="utf-8") != text:
                stale.append(str(place.relative_to(FOLDER.parent.parent)))
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    if stale:
        sys.exit(f"not in step with the code: {', '.join(stale)}; run `make docs`")


if __name__ == "__main__":
    main()
