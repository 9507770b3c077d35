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
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.scoring import targets
from lsaprobe_jax.scoring.workdir import claim_workdir, lock_workdir, note_environment

__all__ = [
  "claim_workdir",
  "digest",
  "ending_in_one_line",
  "fewest_times",
  "jsonable",
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


def fewest_times(targets: Sequence[TrainedModel]) -> int:
  """T of the model whose schedule has the fewest times."""
  return min(target.model.schedule.num_train_timesteps for target in targets)


def load_targets(
  config: ConfigDict, flag="--config.targets.{}".format
) -> tuple[list[TrainedModel], dict[str, Any]]:
  """The models of an evaluation.

  Args:
    config: the settings of `targets.load_targets`.
    flag: from a target's name to what an error calls it.

  Returns:
    (targets in the order of their names, hash of each one's weights).
  """
  try:
    found = targets.load_targets(
      config.targets,
      num_inference_steps=config.num_inference_steps,
      precision=config.precision,
      stop_at=config.get("stop_at", "waveform"),
      untrained=config.untrained,
      seed=config.seed,
    )
  except SettingError as error:
    said = str(error)
    for name in config.targets:
      if said.startswith(f"targets.{name}: "):
        said = f"{flag(name)}{said.removeprefix(f'targets.{name}')}"
        raise app.UsageError(said) from error
    raise app.UsageError(f"--config.{said}") from error
  return found, {"weights": {target.name: target.weights_sha256 for target in found}}
