from tests.evaluate.conftest import scene

__all__ = ["scene"]
