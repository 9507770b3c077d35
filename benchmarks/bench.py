"""Benchmarks: ratios, measured in one run.

python -m launch.bench search --config=configs/mini.py --workdir=runs/bench-search
  [--limit=6] [--distances=waveform,mr_stft]
python -m launch.bench speed --config=configs/mini.py --workdir=runs/bench-speed
python -m launch.bench bootstrap --config=configs/mini.py --workdir=runs/bench-bootstrap

`search` compares searches on the same clips, models and distances. It reads tune
tracks only, as what it finds decides the default. Every search of `config.search` gets
the same tau, from the configured search's ascent on development clips. Rows go to
WORKDIR/<distance>/scores.jsonl as they come; the same command continues a run that was
interrupted. The table is also in WORKDIR/search.md.

`speed` times one pass, D with its gradient, against a plain PyTorch DiffWave with the
same weights on the same machine, in turns, and each distance against the others. It
needs PyTorch (`pip install torch`). The table is also in WORKDIR/speed.md.

`bootstrap` times the resampling of whole tracks, of 12 methods on 2,000 clips, against
scikit-learn on resampled clips, of which a few resamples are timed. Scores are drawn:
no figure of it says anything of a method. The table is also in WORKDIR/bootstrap.md.
"""

import copy
import pathlib
import shlex
import sys
import time
from typing import Any

import numpy as np
from absl import app, flags
from ml_collections import ConfigDict, config_flags
from sklearn import metrics

from launch import command, common
from lsaprobe_jax.attacks.lsa_probe import LSAProbe
from lsaprobe_jax.metrics import intervals, search_comparison, summary
from lsaprobe_jax.scoring import experiment, factories

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
_SPEED_CLIPS = 16
_TIMED_RESAMPLES = 20


def bench_searches(run: experiment.Evaluation) -> list[dict[str, Any]]:
  """Records of every search on the clips of one evaluation."""
  distance = experiment.make_distance(run)
  taus = experiment.calibrate(run, distance)
  rows = []
  for name in _search_names(run.config):
    search = factories.make_search(run.config.search, name)
    attacks = {
      target: LSAProbe(distance=distance, tau=tau, search=search)
      for target, tau in taus.items()
    }
    rows += run.score(
      run.scores,
      attacks,
      (run.halves,),
      method=name,
      t_ratio=run.config.t_ratio,
      distance=run.config.distance,
    )
  return search_comparison.summarise(
    rows, baseline=_BASELINE, num_inference_steps=run.config.num_inference_steps
  )


def _search_names(config: ConfigDict) -> list[str]:
  """Searches that the configuration has settings for, the slowest last."""
  names = [k for k, value in config.search.items() if isinstance(value, ConfigDict)]
  return sorted(names, key=lambda name: (name in (_BASELINE, "auto_pgd"), name))


def _title(run: experiment.Evaluation) -> str:
  config = run.config
  return (
    f"## {config.corpus.path}, {config.distance}\n\nt = {config.t_ratio:g} T,"
    f" S = {config.num_inference_steps}, tau = P{100 * config.tau.quantile:g} of D at eta ="
    f" {config.tau.eta_ref:g}, eta_max = {config.search.eta_max:g};"
    f" {len(run.halves)} clips of tune tracks under A and B."
  )


def search_command(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Runs the audit for each distance and prints the tables."""
  parts = [f"`python -m launch.bench {shlex.join(sys.argv[1:])}`"]
  for distance in _DISTANCES.value:
    changed = copy.deepcopy(config)
    changed.distance, changed.part = distance, "tune"
    # The null control has no side to be a member of.
    if summary.REFERENCE in changed.targets:
      with changed.unlocked():
        del changed.targets[summary.REFERENCE]
    run = experiment.load(changed, workdir / distance, _LIMIT.value)
    parts += [_title(run), search_comparison.format_table(bench_searches(run))]
    (workdir / "search.md").write_text("\n\n".join(parts) + "\n")
  print("\n\n".join(parts))


def speed_command(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Times one pass in turns with PyTorch and prints the tables."""
  try:
    from benchmarks import speed
  except ImportError as error:
    raise app.UsageError(f"launch.bench speed needs PyTorch: {error}") from error

  run = experiment.load(config, workdir, _LIMIT.value)
  text = f"`python -m launch.bench {shlex.join(sys.argv[1:])}`\n\n" + speed.report(
    run.targets[0].model,
    run.halves.audio[:_SPEED_CLIPS],
    t_ratio=config.t_ratio,
    names=_DISTANCES.value,
    seed=config.seed,
  )
  (workdir / "speed.md").write_text(text + "\n")
  print(text)


def bootstrap_command(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Times our bootstrap and scikit-learn's AUC and ROC, and prints both."""
  rng = np.random.default_rng(config.seed)
  tracks, methods, resamples = 500, 12, config.bootstrap_resamples
  clusters = np.repeat(np.arange(tracks), 4)
  labels = clusters % 2 == 0
  scores = rng.normal(size=(methods, clusters.size)) + 0.5 * labels
  start = time.perf_counter()
  intervals.bootstrap(
    scores, labels, clusters, labels, (0.001, 0.01, 0.05), resamples=resamples
  )
  ours = time.perf_counter() - start
  start = time.perf_counter()
  for _ in range(_TIMED_RESAMPLES):
    drawn = [rng.choice(clusters[labels == side], tracks // 2) for side in (0, 1)]
    index = (4 * np.concatenate(drawn)[:, None] + np.arange(4)).ravel()
    for row in scores:
      metrics.roc_auc_score(labels[index], row[index])
      metrics.roc_curve(labels[index], row[index])
  theirs = (time.perf_counter() - start) * resamples / _TIMED_RESAMPLES
  text = (
    f"`python -m launch.bench {shlex.join(sys.argv[1:])}`\n\n{clusters.size} clips of"
    f" {tracks} tracks, {methods} methods, {resamples} resamples, AUC and TPR at three"
    f" FPRs: {ours:.1f} s; scikit-learn, by {_TIMED_RESAMPLES} resamples, {theirs:.0f}"
    f" s, {theirs / ours:.0f} times as long.\n"
  )
  workdir.mkdir(parents=True, exist_ok=True)
  (workdir / "bootstrap.md").write_text(text)
  print(text)


_COMMANDS = {
  "search": search_command,
  "speed": speed_command,
  "bootstrap": bootstrap_command,
}


def main(argv):
  """Runs the benchmark that the first argument names."""
  if len(argv) != 2 or argv[1] not in _COMMANDS:
    raise app.UsageError(f"name one benchmark: {', '.join(_COMMANDS)}")
  common.use_devices()
  _COMMANDS[argv[1]](_CONFIG.value, pathlib.Path(_WORKDIR.value))


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
