"""What the launchers share: configurations, working folders, corpora, targets."""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Any

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict

from launch import converting
from lsaprobe_jax import checkpoints, parallel
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.evaluating import Target
from lsaprobe_jax.models import generator as generators
from lsaprobe_jax.results import first_line, temporary_beside, write_whole

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


def claim_workdir(workdir: pathlib.Path, identity: dict[str, Any]) -> None:
  """Ties a working folder to what it is for, or refuses another use of it.

  Several processes may claim it at once, for the same: the first ties it.

  Args:
    workdir: created if missing.
    identity: everything that decides the results: settings, hashes of weights and
      data.

  Raises:
    app.UsageError: the folder holds results of something else.
  """
  path = workdir / "run.json"
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
      _create(path, json.dumps(identity, indent=1, sort_keys=True) + "\n")
    before = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise app.UsageError(f"--workdir={workdir} cannot be used: {error}") from error
  changed = _differences(before, identity)
  if changed:
    raise app.UsageError(
      f"--workdir={workdir} holds a run that differs in {', '.join(changed)}; choose"
      " a new folder or delete this one"
    )


@contextlib.contextmanager
def ending_in_one_line(kept: str) -> Iterator[None]:
  """Ends a launcher without a traceback on a full disk, or a folder that went away.

  Args:
    kept: what the same command then goes on from; what is on disk is whole.
  """
  try:
    yield
  except (OSError, AudioError) as error:
    raise SystemExit(
      f"error: {error}; mend that and give the same command, which goes on from {kept}"
    ) from error


_locks: dict[pathlib.Path, IO] = {}


def lock_workdir(workdir: pathlib.Path, share: str | None = None) -> None:
  """Keeps a second process off a working folder, or a share, while this one lives.

  The kernel lets go of the lock when the process ends, however it does. Where a
  network folder offers no locks there is a warning and none is held.

  Args:
    workdir: claimed already.
    share: processes that share a folder have shares of different names; None for one
      that has the folder alone.

  Raises:
    app.UsageError: another process has it, or the folder cannot be written.
  """
  # Those that share the folder hold this together, one that is alone against them.
  _hold(workdir, "alone", fcntl.LOCK_SH if share else fcntl.LOCK_EX)
  if share:
    _hold(workdir, share, fcntl.LOCK_EX)


def _hold(workdir: pathlib.Path, name: str, how: int) -> None:
  path = (workdir / f"{name}.lock").absolute()
  if path in _locks:
    return
  try:
    file = path.open("a+")
    _lock(file, workdir, how)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
  except OSError as error:
    raise app.UsageError(f"--workdir={workdir} cannot be used: {error}") from error
  _locks[path] = file


def _lock(file: IO, workdir: pathlib.Path, how: int) -> None:
  try:
    fcntl.flock(file, how | fcntl.LOCK_NB)
  except BlockingIOError as error:
    file.seek(0)
    raise app.UsageError(
      f"--workdir={workdir} is in use by {file.read().strip() or 'another process'};"
      " wait for it, end it, or choose a new folder"
    ) from error
  except OSError as error:
    logging.warning("%s cannot be locked: %s", workdir, error)


def note_environment(workdir: pathlib.Path) -> None:
  """Adds this command and its versions to WORKDIR/environment.json, each once.

  It ties the folder to nothing: a run may go on under another version, and a reader
  should see that it did.
  """
  path = workdir / "environment.json"
  packages = ("lsaprobe_jax", "jax", "jaxlib", "flax", "numpy", "scipy", "librosa")
  module = pathlib.Path(sys.argv[0]).stem
  now = {
    "command": shlex.join(["python", "-m", f"launch.{module}", *sys.argv[1:]]),
    "python": platform.python_version(),
    "packages": {name: _version(name) for name in packages},
    "devices": sorted({device.device_kind for device in jax.local_devices()}),
    "processor": platform.machine(),
  }
  try:
    before = json.loads(path.read_text()) if path.exists() else []
  except ValueError as error:
    raise app.UsageError(f"{path}: damaged ({error}); delete it") from error
  if now not in before:
    write_whole(path, json.dumps([*before, now], indent=1) + "\n")


def _version(package: str) -> str:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return "not installed"


def _create(path: pathlib.Path, text: str) -> None:
  """Writes a file all at once, unless another process was first."""
  temporary = temporary_beside(path)
  temporary.write_text(text)
  try:
    # Unlike a rename, a link does not replace what is there.
    os.link(temporary, path)
  except FileExistsError:
    pass
  finally:
    temporary.unlink()


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
  """Dotted names of the values in which two nested dicts differ."""
  if not (isinstance(before, dict) and isinstance(now, dict)):
    return [] if before == now else [name]
  return [
    difference
    for key in sorted(before.keys() | now.keys())
    for difference in _differences(
      before.get(key), now.get(key), f"{name}.{key}" if name else key
    )
  ]


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
  return min(target.generator.schedule.num_steps for target in targets)


def load_targets(
  config: ConfigDict, flag="--config.targets.{}".format
) -> tuple[list[Target], dict[str, Any]]:
  """The models of an evaluation.

  Args:
    config: `targets` (name -> what `converting.find_model` takes), `num_steps`,
      `precision`, `untrained`, `seed`, and `stop_at` where there is one.
    flag: from a target's name to what an error calls it.

  Returns:
    (targets in the order of their names, hash of each one's weights).
  """
  targets, hashes = [], {}
  for i, (name, source) in enumerate(sorted(config.targets.items())):
    key = jax.random.fold_in(jax.random.key(config.seed), i)
    try:
      generator, record = load_generator(
        source,
        config.num_steps,
        precision=config.precision,
        # Where a configuration has it: `mel` ends before the vocoder.
        stop_at=config.get("stop_at", "waveform"),
        random_key=key if config.untrained else None,
      )
    except checkpoints.CheckpointError as error:
      raise app.UsageError(f"{flag(name)}: {error}") from error
    training = record["training"] or {}
    clips = training.get("clips")
    targets.append(
      Target(
        name=name,
        generator=generator,
        group=training.get("group"),
        members=clips and {clip["id"]: clip["sha256"] for clip in clips},
      )
    )
    hashes[name] = record["weights_sha256"]
  _check_alike(targets)
  return targets, {"weights": hashes}


def load_generator(
  source: str, num_steps: int, *, random_key: jax.Array | None = None, **settings
) -> tuple[Any, dict[str, Any]]:
  """A model that can be run, and the record of its folder.

  Args:
    source: what `converting.find_model` takes.
    num_steps: S, DDIM steps of the reverse process.
    random_key: draws random weights in the place of the model's own.
    **settings: `precision` and `stop_at` (`models.generator.build_generator`).

  Raises:
    CheckpointError: there is no such model, or it is damaged, does not describe one
      or has weights that do not fit.
  """
  params, record = checkpoints.load_model(converting.find_model(source))
  model = record["model"]
  try:
    checkpoints.check_fit(params, generators.abstract_params(model), source)
    if random_key is not None:
      params = generators.random_params(model, random_key)
    generator = generators.build_generator(model, params, num_steps, **settings)
  except checkpoints.CheckpointError:
    raise
  # Sizes that make no network: what flax and jax raise on them is almost anything.
  except Exception as error:
    raise checkpoints.CheckpointError(
      f"{source}: its model.json does not describe a model"
      f" ({type(error).__name__}: {first_line(error)})"
    ) from error
  return generator, record


def _check_alike(targets: list[Target]) -> None:
  rates = {target.name: target.generator.sample_rate for target in targets}
  if len(set(rates.values())) > 1:
    raise app.UsageError(f"--config.targets have different sample rates: {rates}")
