"""The main table with every method, and ablations: one command, one compilation.

python -m launch.sweep --config=configs/sweep_mini.py --workdir=runs/sweep
  [--ablations=t_ratio,eta_max,eta_ref]

`config.sweep` says what is varied. A program is compiled once for all timesteps,
seeds, targets and methods' settings that are traced; a new distance or number of steps
is another program. eta_max is read off the curves that are there.

Ablations read the same tracks as the main table (`config.part`) and nothing is chosen
from them: choices are made with launch.tune, on tune tracks. On those this command
scores the methods again, for classifiers to be fitted on.

Everything goes to WORKDIR: row files (`metrics.study`), summary.json, tidy records of
the ablations in ablations.json, tables in tables.md, figures/*.png and *.svg. The same
command continues a run that was interrupted. With --nomain it writes the rows of the
ablations alone, which `launch.reproduce --add` takes into a study that is stored.
"""

import functools
import pathlib

from absl import flags

from launch import command, devices
from lsaprobe_jax.metrics import study, summary
from lsaprobe_jax.report import studies
from lsaprobe_jax.scoring.sweep import sweep
from lsaprobe_jax.scoring.sweep_settings import SweepSettings

_CONFIG = command.define_config("The experiment and what is varied.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Rows, tables and figures go here.")
_LIMIT = flags.DEFINE_integer(
  "limit", None, "Score at most this many clips of each half.", lower_bound=2
)
_ABLATIONS = flags.DEFINE_list(
  "ablations",
  None,
  "Which of `config.sweep` to run (default: t_ratio, eta_max and eta_ref, those of them"
  " that have values there).",
)
_MAIN = flags.DEFINE_bool(
  "main", True, "Score the main table too; --nomain for ablations alone."
)
_USUAL = ("t_ratio", "eta_max", "eta_ref")


def main(argv):
  """Scores, then writes tables and figures."""
  command.refuse_arguments(argv)
  devices.use_all()
  settings = SweepSettings.from_dict(_CONFIG.value.to_dict())
  workdir = pathlib.Path(_WORKDIR.value)
  summarise = functools.partial(
    summary.summarise, resamples=settings.bootstrap_resamples, seed=settings.seed
  )
  with command.ending_in_one_line(f"the rows in {workdir}"):
    names = _names(settings)
    sweep(settings, workdir, names, limit=_LIMIT.value, main=_MAIN.value)
    if _MAIN.value:
      print(studies.report(study.read(workdir), workdir, summarise))
    else:
      print(f"wrote {', '.join(names)}; launch.reproduce --add adds them to a study")


def _names(settings: SweepSettings) -> list[str]:
  if _ABLATIONS.value is not None:
    return _ABLATIONS.value
  return [name for name in _USUAL if getattr(settings.sweep, name)]


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
