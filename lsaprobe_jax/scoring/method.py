"""LSA-Probe as a user sets it up: by names or objects, at the paper's settings."""

import dataclasses
import re
from collections.abc import Collection
from typing import Any

import numpy as np

from lsaprobe_jax import attacks, distances, probe
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import (
  DegradationCurve,
  MaxDegradation,
  read_degradations,
)
from lsaprobe_jax.attacks.lsa_probe import LSAProbe as Attack
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.rows import CURVE
from lsaprobe_jax.scoring.experiment_inputs import MIN_DEVELOPMENT_CLIPS
from lsaprobe_jax.scoring.factories import ANCHORED, MAX_DEGRADATION, PROBE
from lsaprobe_jax.scoring.row_store import RowStore
from lsaprobe_jax.scoring.scorer import Scorer, check_clips
from lsaprobe_jax.text import printable


@dataclasses.dataclass(frozen=True, kw_only=True)
class LSAProbe:
  """The paper's method (Liu et al., ICASSP 2026): settings of a score C_adv.

  Attributes:
    distance: the name of a distance, or a `distances.Distance`.
    t_ratio: time of the state that is perturbed, over T.
    search: the name of a search, or a `search.Search`; `continuation` is fast,
      `bisection` the paper's.
    eta_max: the largest budget, in units of sigma_t; a search that is an object has
      its own.
    tau: the D that counts as degraded; None until `calibrate_tau` sets it.
    eta_ref: the budget whose D on development clips calibrates tau.
    quantile: of that D over development clips.
    anchor: what D compares with: the clean `reconstruction`, as in the paper, or the
      `clip` itself (docs/twins.md; its tau was best at eta_ref 0.11 and quantile 0.5).
  """

  distance: str | distances.Distance = "mr_stft"
  t_ratio: float = 0.6
  search: str | searches.Search = "continuation"
  eta_max: float = 0.8
  tau: float | None = None
  eta_ref: float = 0.05
  quantile: float = 0.95
  anchor: str = "reconstruction"

  def __post_init__(self):
    if self.anchor not in probe.ANCHORS:
      raise ArgumentError(f"anchor={self.anchor}: one of {', '.join(probe.ANCHORS)}")

  @property
  def distance_name(self) -> str:
    """What rows call the distance."""
    return self.distance if isinstance(self.distance, str) else self.distance.name

  def make_distance(self, sample_rate: int) -> distances.Distance:
    """Makes the distance for audio of a sample rate, in Hz."""
    return distances.get(self.distance, sample_rate=sample_rate)

  def make_search(self) -> searches.Search:
    """Makes the search."""
    if isinstance(self.search, str):
      return searches.get(self.search, eta_max=self.eta_max)
    return self.search

  def attack(self, sample_rate: int) -> Attack:
    """Makes the attack that scores a clip.

    Raises:
      ArgumentError: tau is not calibrated.
    """
    if self.tau is None:
      raise ArgumentError(
        "method: tau of this LSAProbe is not set; calibrate_tau(model, probe, clips)"
        " sets it from clips that the model was not trained on"
      )
    tau = np.float32(self.tau)
    distance = self.make_distance(sample_rate)
    search = self.make_search()
    return Attack(distance=distance, tau=tau, search=search, anchor=self.anchor)


def calibrate_tau(
  model: TrainedModel,
  probe_settings: LSAProbe,
  clips: Corpus,
  *,
  members: Collection[str] | None = None,
  seed: int = 0,
  batch_size: int = 0,
) -> LSAProbe:
  """Calibrates tau: a quantile of D at eta_ref over clips that the model has not seen.

  Args:
    model: the model under audit.
    probe_settings: the probe; its tau is replaced.
    clips: development clips, at least 20, of which none was trained on; as long as
      those that will be scored.
    members: names of tracks that the model was trained on; what its own record says by
      default. Give `[]` where the clips are other music under the same names.
    seed: of the draws of noise.
    batch_size: clips on a device at once; 0 finds what fits.

  Returns:
    The probe with tau.

  Raises:
    ArgumentError: there are too few clips, one of them was trained on by the model's
      own record, they have another rate than the model or more channels, D on them is
      no measure of
      degradation, or eta_ref is beyond the curves of the search.
  """
  _check_count(len(clips))
  check_clips(model, clips)
  model = _unseen(model, clips, members).for_length(clips.audio.shape[-1])
  distance, search = (
    probe_settings.make_distance(model.sample_rate),
    probe_settings.make_search(),
  )
  how = {"distance": distance, "search": search, "anchor": probe_settings.anchor}
  curves = searches.gives_curves(search)
  most = getattr(search, "eta_max", probe_settings.eta_max)
  if curves and probe_settings.eta_ref > most * (1 + 1e-6):
    raise ArgumentError(
      f"probe_settings: eta_ref={probe_settings.eta_ref:g} is beyond eta_max, {most:g},"
      " where the curve that tau is read off ends"
    )
  if curves:
    attack: Any = DegradationCurve(**how)
  else:
    attack = MaxDegradation(eta=np.float32(probe_settings.eta_ref), **how)
  rows = Scorer(seed, batch_size, len(clips))(
    RowStore(),
    attack,
    model,
    clips,
    method=CURVE if curves else MAX_DEGRADATION,
    t_ratio=probe_settings.t_ratio,
    distance=probe_settings.distance_name,
  )
  _check_count(len(rows))
  if curves:
    table = lambda name: np.array([row[name] for row in rows])
    most = read_degradations(
      table("budgets"), table("degradations"), probe_settings.eta_ref, table("rest")
    )
  else:
    most = np.array([-row["score"] for row in rows])
  tau = float(probe.calibrate_tau(most, probe_settings.quantile))
  if not 0 < tau < np.inf:
    raise ArgumentError(
      f"clips: tau is {tau}: D at eta_ref on them is no measure of degradation"
    )
  return dataclasses.replace(probe_settings, tau=tau)


def _unseen(
  model: TrainedModel, clips: Corpus, members: Collection[str] | None
) -> TrainedModel:
  """The model without its record, which names none of these clips or their tracks."""
  seen = set((model.members or {}).values())
  tracks = model.member_tracks if members is None else members
  for clip in clips.clips:
    if clip.sha256 in seen or clip.track in tracks:
      what = "it" if clip.sha256 in seen else f"track {printable(clip.track)}"
      raise ArgumentError(
        f"clips: {printable(clip.id)}: {model.name} was trained on {what}; calibrate"
        " tau on other music, or say with members=[] that it only bears the same name"
      )
  return dataclasses.replace(model, group=None, members=None)


def _check_count(count: int) -> None:
  """Refuses too few clips, or too few of which D could be measured."""
  if count < MIN_DEVELOPMENT_CLIPS:
    raise ArgumentError(
      f"clips: {count} clips to calibrate tau on, and {MIN_DEVELOPMENT_CLIPS} are"
      " needed: a 95th percentile of fewer is little more than their maximum"
    )


def method_name(method: Any) -> str:
  """What rows call a method: an attack's own `name`, or that of its class.

  A class that is registered has its name there (`attacks.get`).
  """
  if isinstance(method, LSAProbe):
    return ANCHORED if method.anchor == "clip" else PROBE
  name = getattr(method, "name", None)
  if isinstance(name, str) and name:
    return name
  if (name := attacks.name_of(method)) is not None:
    return name
  words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(method).__name__)
  return words.lower()
