"""A refined run to export."""

from tests.evaluate.conftest import scene

__all__ = ["scene"]
