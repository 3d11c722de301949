"""Ray's own opinion of a cluster file, asked without a cloud and without credentials."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from typing import Any


def refusal(content: Mapping[str, Any]) -> str | None:
    """Return why `ray up` would refuse the file, in one line, or None.

    These are the checks that Ray does before it asks the cloud anything: its schema, that the
    head's type exists, that the minima fit the global maximum, that Docker has image and name.
    """
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    # Ray logs and prints advice of its own on the way.
    logging.getLogger("ray.autoscaler").setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            validate_config(prepare_config(copy.deepcopy(dict(content))))
    except jsonschema.ValidationError as error:
        place = error.json_path.removeprefix("$").lstrip(".")
        return f"{place}: {error.message}" if place else str(error.message)
    except KeyError as error:
        return f"{error.args[0]} is missing"
    except (AssertionError, AttributeError, IndexError, RuntimeError, TypeError,
            ValueError) as error:  # fmt: skip
        return " ".join(str(error).split())
    return None
