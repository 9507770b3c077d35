"""What an evaluation would cost, from two batches of each of its methods."""

import dataclasses
import math
import resource
import time
from typing import Any

import jax

from lsaprobe_jax.attacks.twinned import Twinned
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics.pivot import NFE_MATCHED, REFERENCE
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.scoring import factories
from lsaprobe_jax.scoring.experiment_inputs import Inputs
from lsaprobe_jax.scoring.row_store import RowStore
from lsaprobe_jax.scoring.scorer import Scorer
from lsaprobe_jax.scoring.settings import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodCost:
  """What one method costs.

  Attributes:
    method: its name.
    clips: how many it scores, over all models.
    compile_seconds: once.
    clip_seconds: for each clip.
  """

  method: str
  clips: int
  compile_seconds: float
  clip_seconds: float

  @property
  def seconds(self) -> float:
    """All of it."""
    return self.compile_seconds + self.clips * self.clip_seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostEstimate:
  """What an evaluation costs; as text a line a method, and the sum.

  Attributes:
    methods: by method, in their order.
    peak_bytes: of a device's memory, or of this process on a CPU.
  """

  methods: list[MethodCost]
  peak_bytes: int

  @property
  def seconds(self) -> float:
    """All methods together."""
    return sum(method.seconds for method in self.methods)

  def __str__(self) -> str:
    """A line a method, and the sum."""
    devices = jax.local_devices()
    lines = [
      f"{cost.method}: {cost.clips} clips, {cost.clip_seconds:.3g} s each and"
      f" {cost.compile_seconds:.0f} s to compile: {cost.seconds / 60:.1f} min"
      for cost in self.methods
    ]
    lines.append(
      f"estimate: {self.seconds / 60:.1f} min and {self.peak_bytes / 2**30:.2f} GiB on"
      f" {len(devices)} x {devices[0].device_kind}; timed on two batches of each"
      " method, nothing was kept"
    )
    return "\n".join(lines)


def estimate_evaluation(settings: Experiment, inputs: Inputs) -> CostEstimate:
  """Estimates an evaluation; tau counts as if it scored development clips once more."""
  judged = [target for target in inputs.targets if target.name != REFERENCE]
  clips = len(inputs.halves) + 2 * len(inputs.development)
  return estimate(settings, judged[0], inputs.halves, clips * len(inputs.targets))


def estimate(
  settings: Experiment, target: TrainedModel, clips: Corpus, count: int
) -> CostEstimate:
  """Times two batches of every method, and keeps none of their rows.

  A search that halves a bracket is timed at one climb from one start. Its cost is that
  of all its halvings and restarts, which is the most it can be.

  Args:
    settings: all settings; `methods` are what is timed, those with the probe's NFE
      behind the probe.
    target: the model that is timed.
    clips: some to time with.
    count: clips to be scored, over all models.
  """
  batch = settings.batch_size or min(len(clips), 4 * len(jax.local_devices()))
  sample = clips.take(range(min(batch, len(clips))))
  target = target.for_length(clips.audio.shape[-1])
  distance = factories.make_distance(settings.distance, clips)
  scorer = Scorer(settings.seed, settings.batch_size, len(clips))
  costs, nfe = [], {}
  for name in settings.methods:
    plain = name.removesuffix(NFE_MATCHED)
    t_ratio, attack = factories.make_attack(settings, plain, distance)
    attack, times = one_climb(attack)
    took = []
    if settings.twins.names:
      attack = Twinned.by_names(attack, settings.twins.names)
    for one in (scorer, scorer.reseeded(settings.seed + 1)):
      store, start = RowStore(), time.perf_counter()
      one(store, attack, target, sample, method=name, t_ratio=t_ratio)
      took.append(time.perf_counter() - start)
      nfe[name] = times * _mean_nfe(store)
    if plain != name:
      # Timed as it is, and counted as often as the probe's NFE hold its own.
      times *= nfe[factories.PROBE] / nfe[name]
    costs.append(
      MethodCost(
        method=name,
        clips=count,
        compile_seconds=max(took[0] - took[1], 0.0),
        clip_seconds=times * took[1] / len(sample),
      )
    )
  return CostEstimate(methods=costs, peak_bytes=_peak_bytes())


def one_climb(attack: Any) -> tuple[Any, int]:
  """An attack with a search of one climb, and how many the whole search has at most."""
  search = getattr(attack, "search", None)
  if not hasattr(search, "halvings"):
    return attack, 1
  # Its first trial is at eta_max; tau is out of reach here, and it ends there. Attacks
  # without tau make one trial.
  trials = search.halvings + 1 if hasattr(attack, "tau") else 1
  climbs = trials * search.restarts
  whole = dict(min_gain=-math.inf, min_gradient=0.0)
  short = dataclasses.replace(search, halvings=1, restarts=1, **whole)
  return dataclasses.replace(attack, search=short), climbs


def _mean_nfe(store: RowStore) -> float:
  """NFE on a clip, on average, forward and backward."""
  spent = [row["nfe_forward"] + row["nfe_backward"] for row in store.rows]
  if not spent:
    raise ArgumentError(
      "dry_run: a method has a score on none of the first clips; the log says which and"
      " why"
    )
  return sum(spent) / len(spent)


def _peak_bytes() -> int:
  device = jax.local_devices()[0]
  if device.platform == "cpu":
    # In KiB, on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  return device.memory_stats()["peak_bytes_in_use"]
