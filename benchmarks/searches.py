"""Compares searches on the same clips, models and distances.

python -m benchmarks.searches --config=configs/mini.py --workdir=runs/bench-search \
  [--limit=6] [--distances=waveform,mr_stft]

It reads tune tracks only, as what it finds decides the default. Every search that the
configuration has settings for gets the same tau, from the configured search's ascent on
development clips. Rows go to WORKDIR/<distance>/scores.jsonl as they come; the same
command continues a run that was interrupted. The tables are printed, and are also in
WORKDIR/search.md. About 25 minutes for both distances on one CPU core, most of it the
paper's bisection.
"""

import dataclasses
import pathlib
import shlex
import sys
from typing import Any

from absl import flags
from ml_collections import config_flags

from launch import command, devices
from lsaprobe_jax.attacks.lsa_probe import LSAProbe
from lsaprobe_jax.metrics import search_comparison
from lsaprobe_jax.metrics.summary import REFERENCE
from lsaprobe_jax.scoring import factories, probe_rows
from lsaprobe_jax.scoring.experiment import Evaluation, open_evaluation
from lsaprobe_jax.scoring.settings import Experiment

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "An evaluation of the models.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Rows and tables go here.")
_LIMIT = flags.DEFINE_integer(
  "limit", None, "Score at most this many clips of each half.", lower_bound=2
)
_DISTANCES = flags.DEFINE_list(
  "distances", ["waveform", "mr_stft"], "Distances to compare under."
)

_BASELINE = "bisection"
_SLOWEST = (_BASELINE, "auto_pgd")


def settings_for(settings: Experiment, distance: str) -> Experiment:
  """The settings for tune tracks, under one distance and the cross-over alone."""
  # The null control has no side to be a member of.
  targets = {k: source for k, source in settings.targets.items() if k != REFERENCE}
  crossed = dataclasses.replace(settings, targets=targets)
  changes = {"distance": distance, "part": "tune", "twins.names": ()}
  return crossed.changed(changes)


def compare_searches(run: Evaluation) -> list[dict[str, Any]]:
  """Records of every search on the clips of one evaluation."""
  settings = run.settings
  distance = factories.make_distance(settings.distance, run.halves)
  taus = probe_rows.calibrate(run, distance, factories.probe_form(run.settings))
  rows = []
  # The slowest come last.
  names = sorted(settings.search.options, key=lambda name: (name in _SLOWEST, name))
  for name in names:
    search = factories.make_search(settings.search, name)
    attacks = {
      target: LSAProbe(distance=distance, tau=tau, search=search)
      for target, tau in taus.items()
    }
    rows += run.score(
      run.scores,
      attacks,
      (run.halves,),
      method=name,
      t_ratio=settings.t_ratio,
      distance=settings.distance,
    )
  return search_comparison.summarise(
    rows, baseline=_BASELINE, num_inference_steps=settings.num_inference_steps
  )


def _title(run: Evaluation) -> str:
  settings = run.settings
  return (
    f"## {settings.corpus.path}, {settings.distance}\n\nt = {settings.t_ratio:g} T, S ="
    f" {settings.num_inference_steps}, tau = P{100 * settings.tau.quantile:g} of D at"
    f" eta = {settings.tau.eta_ref:g}, eta_max = {settings.search.eta_max:g};"
    f" {len(run.halves)} clips of tune tracks under A and B."
  )


def main(argv):
  """Compares the searches under each distance and prints the tables."""
  command.refuse_arguments(argv)
  devices.use_all()
  settings = Experiment.from_dict(_CONFIG.value.to_dict())
  workdir = pathlib.Path(_WORKDIR.value)
  parts = [f"`python -m benchmarks.searches {shlex.join(sys.argv[1:])}`"]
  with command.ending_in_one_line(f"the rows in {workdir}"):
    for distance in _DISTANCES.value:
      run = open_evaluation(
        settings_for(settings, distance), workdir / distance, limit=_LIMIT.value
      )
      parts += [_title(run), search_comparison.format_table(compare_searches(run))]
      (workdir / "search.md").write_text("\n\n".join(parts) + "\n")
  print("\n\n".join(parts))


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
