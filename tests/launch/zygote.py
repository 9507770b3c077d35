"""Forks launchers from a process that has imported the libraries they need.

Reads lines of JSON, [module, arguments, file of stdout, file of stderr]. The answer to
each is the exit code of `python -m MODULE`, which imports the project itself.
"""

import gc
import importlib
import json
import os
import pathlib
import runpy
import sys

ROOT = pathlib.Path(__file__).parents[2]
# Nothing of the project: what it forgets to import is to be missed.
LIBRARIES = (
  "jax", "flax.struct", "matplotlib.pyplot", "ml_collections.config_flags",
  "orbax.checkpoint", "pyloudnorm", "scipy.stats", "sklearn.linear_model", "tqdm",
)  # fmt: skip


def launch(module: str, args: list[str], *streams: str) -> None:
  """Becomes the launcher; the interpreter then ends as it always does."""
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  for number, path in enumerate(streams, start=1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
  sys.argv = [module, *args]
  runpy.run_module(module, run_name="__main__", alter_sys=True)
  sys.exit()


if __name__ == "__main__":
  sys.path[0] = str(ROOT)  # as with -m
  for library in LIBRARIES:
    importlib.import_module(library)
  gc.freeze()  # or every fork copies all of it to look for garbage at its end
  for line in sys.stdin:
    child = os.fork()
    if not child:
      launch(*json.loads(line))
    status = os.waitpid(child, 0)[1]
    print(os.waitstatus_to_exitcode(status), flush=True)
