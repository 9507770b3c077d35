"""Chooses settings by what was tried on tune tracks, and writes them with their hash.

python -m benchmarks.choose --tried=DIR,... --families=NAME,... --output=FILE

Each DIR is that of a `launch.tune` whose grid tries methods at several times under
several models (configs/tune_dose.py). A setting's figure is its AUC, the cross-over
mean, averaged over the models it was tried under and over all calibrations there are;
of each method the setting with the highest is chosen. FILE has the settings by family,
as changes of an experiment, with the figures behind them, and their SHA-256.
"""

import hashlib
import json
import pathlib

from absl import app, flags

from benchmarks import choosing
from launch import command
from lsaprobe_jax import strict_json
from lsaprobe_jax.files import write_whole

_TRIED = flags.DEFINE_list("tried", None, "Working folders of launch.tune.")
_FAMILIES = flags.DEFINE_list("families", None, "A name for each, in that order.")
_OUTPUT = flags.DEFINE_string("output", None, "The settings that were chosen, JSON.")


def main(argv):
  """Reads, chooses, writes."""
  command.refuse_arguments(argv)
  if not len(_TRIED.value) == len(_FAMILIES.value) == len({*_FAMILIES.value}):
    raise app.UsageError("--families: give a name of its own for each of --tried")
  made = {}
  for family, folder in zip(_FAMILIES.value, _TRIED.value, strict=True):
    path = pathlib.Path(folder) / "tried.jsonl"
    try:
      lines = [strict_json.loads(line) for line in path.read_text().splitlines()]
      chosen, figures = choosing.choose(lines)
    except (OSError, ValueError) as error:
      raise app.UsageError(f"--tried={folder}: {error}") from error
    settings = choosing.nested(chosen)
    made[family] = {
      "settings": settings,
      "sha256": hashlib.sha256(
        json.dumps(settings, sort_keys=True).encode()
      ).hexdigest(),
      "tried": figures,
    }
  write_whole(pathlib.Path(_OUTPUT.value), json.dumps(made, indent=1) + "\n")
  for family, own in made.items():
    print(f"{family}: {own['sha256']}")


if __name__ == "__main__":
  flags.mark_flags_as_required(["tried", "families", "output"])
  command.run(main)
