"""Times the resampling of whole tracks against scikit-learn on resampled clips.

python -m benchmarks.bootstrap --output=benchmarks/bootstrap.md [--resamples=10000]

12 methods on 2,000 clips of 500 tracks; of scikit-learn's resamples a few are timed.
Scores are drawn: no figure says anything about a method. About 20 seconds on one CPU
core.
"""

import pathlib
import shlex
import sys
import time
from collections.abc import Callable

import numpy as np
from absl import flags
from sklearn import metrics

from launch import command
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import bootstrap

_OUTPUT = flags.DEFINE_string("output", None, "The line, in Markdown.")
_RESAMPLES = flags.DEFINE_integer("resamples", 10_000, "Bootstrap resamples.", 1)
_SEED = flags.DEFINE_integer("seed", 0, "Decides scores and resamples.", 0)

_TRACKS, _CLIPS_A_TRACK, _METHODS = 500, 4, 12
_FPRS = (0.001, 0.01, 0.05)
_TIMED_RESAMPLES = 20


def main(argv):
  """Times both, prints and writes the line."""
  command.refuse_arguments(argv)
  rng = np.random.default_rng(_SEED.value)
  tracks = np.repeat(np.arange(_TRACKS), _CLIPS_A_TRACK)
  labels = tracks % 2 == 0
  scores = rng.normal(size=(_METHODS, tracks.size)) + 0.5 * labels
  resamples = _RESAMPLES.value

  ours = _seconds(
    lambda: bootstrap.resample(
      scores, labels, tracks, labels, _FPRS, resamples=resamples
    )
  )
  few = _seconds(lambda: _by_scikit_learn(scores, labels, tracks, rng))
  theirs = few * resamples / _TIMED_RESAMPLES
  text = (
    f"`python -m benchmarks.bootstrap {shlex.join(sys.argv[1:])}`\n\n{tracks.size}"
    f" clips of {_TRACKS} tracks, {_METHODS} methods, {resamples} resamples, AUC and"
    f" TPR at three FPRs: {ours:.1f} s; scikit-learn, by {_TIMED_RESAMPLES} resamples,"
    f" {theirs:.0f} s, {theirs / ours:.0f} times as long.\n"
  )
  write_whole(pathlib.Path(_OUTPUT.value), text)
  print(text)


def _by_scikit_learn(scores, labels, tracks, rng) -> None:
  """AUC and ROC of a few resamples, method by method."""
  for _ in range(_TIMED_RESAMPLES):
    drawn = [rng.choice(tracks[labels == side], _TRACKS // 2) for side in (0, 1)]
    index = _CLIPS_A_TRACK * np.concatenate(drawn)[:, None] + np.arange(_CLIPS_A_TRACK)
    index = index.ravel()
    for row in scores:
      metrics.roc_auc_score(labels[index], row[index])
      metrics.roc_curve(labels[index], row[index])


def _seconds(run: Callable[[], object]) -> float:
  start = time.perf_counter()
  run()
  return time.perf_counter() - start


if __name__ == "__main__":
  flags.mark_flags_as_required(["output"])
  command.run(main)
