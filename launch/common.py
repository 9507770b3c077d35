"""What the launchers share: configurations, working folders, corpora, targets."""

import hashlib
import json
import os
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

import jax
from absl import app, flags
from ml_collections import ConfigDict

from launch.command import ending_in_one_line, run
from lsaprobe_jax import parallel
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.models import checkpoints, conversion, registry
from lsaprobe_jax.scoring.scorer import Target
from lsaprobe_jax.scoring.workdir import claim_workdir, lock_workdir, note_environment
from lsaprobe_jax.text import printable

__all__ = [
  "claim_workdir",
  "digest",
  "ending_in_one_line",
  "fewest_times",
  "jsonable",
  "load_diffusion",
  "load_targets",
  "lock_workdir",
  "note_environment",
  "open_corpus",
  "run",
  "use_compilation_cache",
  "use_devices",
]

_COMPILATION_CACHE = flags.DEFINE_string(
  "compilation_cache",
  None,
  "Programs that took over a second to compile are kept here (default:"
  " $JAX_COMPILATION_CACHE_DIR, else ~/.cache/lsaprobe_jax/xla); empty for nowhere.",
)


def use_devices() -> None:
  """Makes every CPU core a device; a launcher's first act, before JAX starts."""
  parallel.use_all_cpu_cores(len(os.sched_getaffinity(0)))
  use_compilation_cache()


def use_compilation_cache() -> None:
  """Keeps compiled programs for later runs, where --compilation_cache says.

  JAX leaves out what compiles within a second, and writes from process 0 alone.
  """
  folder = _COMPILATION_CACHE.value
  if folder is None:
    default = os.path.expanduser("~/.cache/lsaprobe_jax/xla")
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", default)
  # Programs for the CPU hold its machine code, and JAX's key does not name its model:
  # on a shared home another model would load them, and could end in SIGILL.
  path = os.path.join(folder, _processor()) if folder else None
  jax.config.update("jax_compilation_cache_dir", path)


def _processor() -> str:
  """Names the instruction set: the architecture and a hash of what CPU it is."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = [platform.processor()]
  fields = ("model name", "flags", "Features")
  model = {line for line in lines if line.startswith(fields)}
  return f"{platform.machine()}-{digest(sorted(model))[:12]}"


def digest(value: Any) -> str:
  """Hash of a JSON-able value."""
  return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def jsonable(config: ConfigDict) -> dict[str, Any]:
  """A configuration as plain JSON values (tuples become lists)."""
  return json.loads(config.to_json_best_effort())


def open_corpus(
  settings: ConfigDict,
  sample_rate: int,
  clips_per_track: int | None,
  groups: Sequence[str],
) -> Corpus:
  """Opens some groups of the corpus that a configuration names.

  Args:
    settings: `path` and `clip_seconds`.
    sample_rate: in Hz.
    clips_per_track: at most so many clips of a track; None takes all.
    groups: of tracks.
  """
  try:
    return corpora.open_corpus(
      settings.path,
      sample_rate=sample_rate,
      clip_seconds=settings.clip_seconds,
      clips_per_track=clips_per_track,
      groups=groups,
    )
  except ValueError as error:
    raise app.UsageError(f"--config.corpus: {error}") from error


def fewest_times(targets: Sequence[Target]) -> int:
  """T of the model whose schedule has the fewest times."""
  return min(target.model.schedule.num_train_timesteps for target in targets)


def load_targets(
  config: ConfigDict, flag="--config.targets.{}".format
) -> tuple[list[Target], dict[str, Any]]:
  """The models of an evaluation.

  Args:
    config: `targets` (name -> what `conversion.find_model` takes), `num_inference_steps`,
      `precision`, `untrained`, `seed`, and `stop_at` where there is one.
    flag: from a target's name to what an error calls it.

  Returns:
    (targets in the order of their names, hash of each one's weights).
  """
  targets, hashes = [], {}
  for i, (name, source) in enumerate(sorted(config.targets.items())):
    key = jax.random.fold_in(jax.random.key(config.seed), i)
    try:
      generator, record = load_diffusion(
        source,
        config.num_inference_steps,
        precision=config.precision,
        # Where a configuration has it: `mel` ends before the vocoder.
        stop_at=config.get("stop_at", "waveform"),
        random_key=key if config.untrained else None,
      )
    except checkpoints.CheckpointError as error:
      raise app.UsageError(f"{flag(name)}: {error}") from error
    try:
      training = record["training"] or {}
      clips = training.get("clips")
      members = clips and {clip["id"]: clip["sha256"] for clip in clips}
      group = training.get("group")
    except (KeyError, TypeError, AttributeError) as error:
      raise app.UsageError(
        f"{flag(name)}: {source}: its training record is damaged"
        f" ({type(error).__name__}: {error}); copy the model again"
      ) from error
    targets.append(Target(name=name, model=generator, group=group, members=members))
    hashes[name] = record["weights_sha256"]
  _check_alike(targets)
  return targets, {"weights": hashes}


def load_diffusion(
  source: str,
  num_inference_steps: int,
  *,
  random_key: jax.Array | None = None,
  **settings,
) -> tuple[Any, dict[str, Any]]:
  """A model that can be run, and the record of its folder.

  Args:
    source: what `conversion.find_model` takes.
    num_inference_steps: S, DDIM steps of the reverse process.
    random_key: draws random weights in the place of the model's own.
    **settings: `precision` and `stop_at` (`models.registry.build_model`).

  Raises:
    CheckpointError: there is no such model, or it is damaged, does not describe one
      or has weights that do not fit.
  """
  params, record = checkpoints.load_model(conversion.find_model(source))
  model = record["model"]
  try:
    abstract = registry.abstract_params(model, len(jax.tree.leaves(params)))
    checkpoints.check_fit(params, abstract, source)
    if random_key is not None:
      params = registry.random_params(model, random_key)
    generator = registry.build_model(model, params, num_inference_steps, **settings)
  except checkpoints.CheckpointError:
    raise
  # Sizes that make no network: what flax and jax raise on them is almost anything.
  except Exception as error:
    raise checkpoints.CheckpointError(
      f"{printable(source)}: its model.json does not describe a model"
      f" ({checkpoints.reason(error)})"
    ) from error
  return generator, record


def _check_alike(targets: list[Target]) -> None:
  rates = {target.name: target.model.sample_rate for target in targets}
  if len(set(rates.values())) > 1:
    raise app.UsageError(f"--config.targets have different sample rates: {rates}")
