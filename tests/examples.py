"""The worked examples of the documentation as modules."""

import importlib.util
import pathlib
import types

EXAMPLES = pathlib.Path(__file__).parents[1] / "docs" / "examples"


def load_example(module: str) -> types.ModuleType:
  """Loads docs/examples/MODULE.py."""
  spec = importlib.util.spec_from_file_location(module, EXAMPLES / f"{module}.py")
  loaded = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(loaded)
  return loaded
