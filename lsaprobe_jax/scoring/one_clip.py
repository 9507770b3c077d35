"""One clip under one model: D against eta, and C_adv where tau is given."""

import dataclasses
import pathlib
import time

import jax
import numpy as np
from absl import logging

from lsaprobe_jax import diffusion, parallel
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import DegradationCurve, read_costs
from lsaprobe_jax.data import audio as audio_files
from lsaprobe_jax.data import decoding, pieces
from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.errors import ArgumentError, LsaProbeError
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.scoring.method import LSAProbe

_LEAST, _MOST_TAU, _MOST_BUDGET = 1e-30, 1e30, 1e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipCurve:
  """What the probe measured on a clip.

  Attributes:
    budgets: eta, rising, float64 [n].
    degradations: D at each of them, float64 [n].
    tau: the perceptual target, None where none was given.
    eta_max: the largest budget allowed.
    cost: C_adv at tau; None where tau was not reached, or not given.
    nfe_forward: network function evaluations.
    nfe_backward: those that were differentiated.
    seconds: of the search, compilation included.
    t: the time of the state.
    log_snr: of that time, by which times of other models compare (`Schedule.log_snr`).
  """

  budgets: np.ndarray
  degradations: np.ndarray
  tau: float | None
  eta_max: float
  cost: float | None
  nfe_forward: int
  nfe_backward: int
  seconds: float
  t: int
  log_snr: float

  def __str__(self) -> str:
    """The time, a line a budget, and the cost where there is a tau."""
    lines = [f"t = {self.t}, log-SNR {self.log_snr:.2f}"] + [
      f"eta {eta:.4f}  D {degradation:.5g}"
      for eta, degradation in zip(self.budgets, self.degradations, strict=True)
    ]
    if self.tau is None:
      return "\n".join(lines)
    if self.cost is not None:
      return "\n".join([*lines, f"C_adv {self.cost:.4f} at tau {self.tau:g}"])
    censored = f"tau {self.tau:g} is not reached within eta {self.eta_max:g}: censored"
    return "\n".join([*lines, censored])


def probe_clip(
  model: TrainedModel, probe: LSAProbe, audio: np.ndarray, *, seed: int = 0
) -> ClipCurve:
  """Measures D against eta on one clip, and C_adv where the probe has a tau.

  One clip proves nothing: `score` a corpus, with a tau from `calibrate_tau`.

  Args:
    model: the model.
    probe: the probe; its search must give curves (`search.gives_curves`).
    audio: float32 [samples] at the model's rate, in [-1, 1], or [channels, samples] of
      a model of several channels.
    seed: of the noise.

  Raises:
    ArgumentError: a setting of the probe cannot be used, or D is not finite or 0 along
      the curve.
  """
  _check(probe)
  search = probe.make_search()
  if not searches.gives_curves(search):
    raise ArgumentError(f"search={probe.search}: it gives no curve of D against eta")
  try:
    t = diffusion.timestep(model.model.schedule, probe.t_ratio)
    distance = probe.make_distance(model.sample_rate)
  except ValueError as error:
    raise ArgumentError(str(error)) from error
  attack = DegradationCurve(distance=distance, search=search, anchor=probe.anchor)
  run = jax.jit(lambda attack, model, *args: attack(model, *args))
  start = time.perf_counter()
  model = model.for_length(audio.shape[-1])
  key = jax.random.key(seed)
  with parallel.products_in_float32():
    outcome = jax.device_get(run(attack, model.model, key, audio, t))
  budgets, degradations = (
    np.asarray(outcome.details[name], float) for name in ("budgets", "degradations")
  )
  _check_curve(budgets, degradations)
  rest = float(outcome.details["rest"])
  # A search that is an object has its own.
  eta_max = getattr(search, "eta_max", probe.eta_max)
  tables = (budgets[None], degradations[None])
  found = None
  if probe.tau is not None:
    (found,) = read_costs(*tables, probe.tau, eta_max, [rest])
  return ClipCurve(
    budgets=budgets,
    degradations=degradations,
    tau=probe.tau,
    eta_max=eta_max,
    cost=found["cost"] if found and found["reached"] else None,
    nfe_forward=int(outcome.nfe_forward),
    nfe_backward=int(outcome.nfe_backward),
    seconds=time.perf_counter() - start,
    t=t,
    log_snr=float(model.model.schedule.log_snr[t]),
  )


def load_clip(
  path: str | pathlib.Path,
  sample_rate: int,
  *,
  seconds: float,
  start: float = 0.0,
  channels: int = 1,
) -> np.ndarray:
  """Reads one clip of a file, float32 [samples], or [channels, samples] of two.

  Its level is set as `load_audio` sets that of a folder's clips: tau, and a model on
  waveforms, are of clips at that level.

  Args:
    path: an audio file.
    sample_rate: of the clip, Hz.
    seconds: its length.
    start: where it begins in the file, seconds.
    channels: of the clip, 1 or 2 (`decoding.decode`).

  Raises:
    AudioError: the file cannot be used, is too short, or is silent there.
  """
  path = pathlib.Path(path)
  samples, first = round(seconds * sample_rate), round(start * sample_rate)
  whole, found = decoding.decode(path, channels)
  for remark in found.remarks:
    logging.warning("%s", remark)
  whole = audio_files.resample(whole, found.rate, sample_rate)
  clip = np.asarray(whole[first : first + samples], np.float32)
  if len(clip) < samples:
    raise AudioError(f"{path}: {len(clip)} samples are left, not {samples}")
  audio_files.check(clip, path)
  begin, end = _segment(len(whole), first, samples, sample_rate)
  try:
    segment = audio_files.normalise_loudness(whole[begin:end], sample_rate)
  except AudioError as error:
    raise AudioError(f"{path}: {error}") from error
  clip = segment[first - begin : first - begin + samples]
  return np.ascontiguousarray(clip.T)


def _segment(length: int, first: int, samples: int, sample_rate: int):
  """Where the segment begins and ends by whose level a clip's is set.

  A folder's files are cut into segments from their beginning (`data.preparation`). A
  clip that lies across two has that of the one it begins in, and of what it has beyond.
  """
  each = max(round(pieces.FOLDER_SEGMENT_SECONDS * sample_rate), samples)
  if length < each:
    each = length // samples * samples
  begin = first // each * each
  return begin, max(begin + each, first + samples)


def _check(probe: LSAProbe) -> None:
  """Refuses what no curve can be made or read with."""
  limits = {"tau": (probe.tau, _MOST_TAU), "eta_max": (probe.eta_max, _MOST_BUDGET)}
  for name, (value, most) in limits.items():
    if value is not None and not _LEAST <= value <= most:
      raise ArgumentError(f"{name}={value:g}: a number above 0 and at most {most:g}")


def _check_curve(budgets: np.ndarray, degradations: np.ndarray) -> None:
  if not (np.all(np.isfinite(budgets)) and np.all(np.isfinite(degradations))):
    raise LsaProbeError(
      "D is not finite along the curve, which says nothing of the clip: look at the"
      " audio, the distance and the model's weights"
    )
  if not np.any(degradations):
    raise LsaProbeError(
      "D is 0 at every budget, so that nothing was perturbed: look at t_ratio and the"
      " model's schedule"
    )
