"""Commands in the documentation exist, with the options they are shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from raypipe.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / "jobs").glob("*.toml"),
]


def commands(text: str) -> Iterator[str]:
    """Yield the `raypipe …` command lines of a page, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        for match in re.finditer(r"(?:^|`|# +|\s{4})(raypipe [a-z][^`#|>&…]*)", line):
            yield match.group(1).strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    for line in commands(page.read_text(encoding="utf-8")):
        words = shlex.split(line)[1:]
        known = options(words)
        if words[:1] == ["submit"] and words[1:] and words[1][0] != "[":
            job = ["run", *words[2:]] if words[1].endswith(".toml") else words[1:]
            known |= options(job if not job[0].startswith("-") else ["submit"])
        used = {word.split("=")[0] for word in words if re.fullmatch(r"-{1,2}[a-z][\w=-]*", word)}
        assert used <= known, f"{page.name}: {line}: {used - known}"


def options(words: list[str]) -> set[str]:
    """Return the options of a command and of what it is part of; fails if there is no such."""
    words, command = list(words), typer.main.get_command(app)
    known = {"--help", "-h"} | {name for option in command.params for name in option.opts}
    while words and words[0].startswith("-"):
        words = words[2:]
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands") or not words, f"no command {' '.join(words)}"
    return known | {
        name for option in command.params for name in (*option.opts, *option.secondary_opts)
    }


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
