"""What a run would cost, from two batches of each of its methods. Reads no flags."""

import dataclasses
import pathlib
import resource
import tempfile
import time
from typing import Any

import jax
from ml_collections import ConfigDict

from lsaprobe_jax import diffusion
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.metrics import summary
from lsaprobe_jax.scoring import experiment_inputs, factories
from lsaprobe_jax.scoring.row_store import RowFile
from lsaprobe_jax.scoring.scorer import Scorer, Target


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
  """What one method costs: clips over all models, seconds once and for each clip."""

  method: str
  clips: int
  compile_seconds: float
  clip_seconds: float

  @property
  def seconds(self) -> float:
    """All of it."""
    return self.compile_seconds + self.clips * self.clip_seconds


def estimate(
  config: ConfigDict, target: Target, clips: Corpus, count: int
) -> tuple[list[Cost], int]:
  """Times two batches of every method, and keeps none of their rows.

  A search that halves a bracket is timed at one climb from one start; its cost is that
  of all its halvings and restarts, which is the most it can be.

  Args:
    config: all settings; `methods` are what is timed, matched ones behind the probe.
    target: the model that is timed.
    clips: some to time with.
    count: of clips to be scored, over all models.

  Returns:
    (cost by method, peak memory in bytes: of a device, or of this process on a CPU).
  """
  batch = config.batch_size or min(len(clips), 4 * len(jax.local_devices()))
  sample = clips.take(range(min(batch, len(clips))))
  model = target.model.for_length(clips.audio.shape[1])
  target = dataclasses.replace(target, model=model)
  distance = factories.make_distance_of(config, clips)
  scorer = Scorer(config.seed, config.batch_size, len(clips))
  costs, evaluations = [], {}
  for name in config.methods:
    plain = name.removesuffix(summary.NFE_MATCHED)
    t_ratio, attack = factories.make_attack(config, plain, distance)
    attack, times = one_climb(attack)
    t = diffusion.timestep(model.schedule, t_ratio)
    took = []
    for one in (scorer, scorer.reseeded(config.seed + 1)):
      with tempfile.TemporaryDirectory() as folder:
        file = RowFile(pathlib.Path(folder) / "rows.jsonl")
        start = time.perf_counter()
        one(file, attack, target, sample, t=t, method=name, t_ratio=t_ratio)
        took.append(time.perf_counter() - start)
        evaluations[name] = times * _evaluations(file)
    if plain != name:
      # Timed as it is, and counted as often as the probe's evaluations hold its own.
      times *= evaluations[factories.PROBE] / evaluations[name]
    costs.append(
      Cost(
        method=name,
        clips=count,
        compile_seconds=max(took[0] - took[1], 0.0),
        clip_seconds=times * took[1] / len(sample),
      )
    )
  return costs, _peak_bytes()


def of_evaluation(config: ConfigDict, opened: experiment_inputs.Opened):
  """The same of launch.eval; tau counts as if it scored development clips once more."""
  targets, halves, development = opened.targets, opened.halves, opened.development
  judged = [target for target in targets if target.name != summary.REFERENCE]
  count = (len(halves) + 2 * len(development)) * len(targets)
  return estimate(config, judged[0], halves, count)


def text(costs: list[Cost], memory: int) -> str:
  """A line a method, and the sum."""
  lines = [
    f"{cost.method}: {cost.clips} clips, {cost.clip_seconds:.3g} s each and"
    f" {cost.compile_seconds:.0f} s to compile: {cost.seconds / 60:.1f} min"
    for cost in costs
  ]
  device = jax.local_devices()[0].device_kind
  lines.append(
    f"estimate: {sum(cost.seconds for cost in costs) / 60:.1f} min and"
    f" {memory / 2**30:.2f} GiB on {len(jax.local_devices())} x {device}; timed on two"
    " batches of each method, nothing was kept"
  )
  return "\n".join(lines)


def _evaluations(file: RowFile) -> float:
  """Of the network on a clip, on average, forward and backward."""
  spent = [row["nfe_forward"] + row["nfe_backward"] for row in file.rows]
  return sum(spent) / len(spent)


def one_climb(attack: Any) -> tuple[Any, int]:
  """An attack with a search of one climb, and how many the whole search has at most."""
  search = getattr(attack, "search", None)
  if not hasattr(search, "halvings"):
    return attack, 1
  # Its first trial is at eta_max; tau is out of reach here, and it ends there.
  climbs = (search.halvings + 1) * search.restarts
  short = dataclasses.replace(search, halvings=1, restarts=1)
  return dataclasses.replace(attack, search=short), climbs


def _peak_bytes() -> int:
  device = jax.local_devices()[0]
  if device.platform == "cpu":
    # In KiB, on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  return device.memory_stats()["peak_bytes_in_use"]
