"""Settings of an audit: how it scores, and at which level it judges."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from lsaprobe_jax import twins as twin_lib
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.scoring.settings import (
  EXPERIMENT_RULES,
  AnchoredSettings,
  Experiment,
  SearchSettings,
  TauSettings,
  TwinSettings,
)
from lsaprobe_jax.settings import Rule, Settings, above, one_of, true_or_false, whole
from lsaprobe_jax.text import printable

# Tests exchange whole albums where they are known, or tracks in any case.
ALBUMS = ("known", "tracks")

# Each baseline at its own t; the embedded benchmark's tune tracks chose these.
_BASELINES: Mapping[str, Mapping[str, Any]] = {
  "loss": dict(t_ratio=0.4, draws=4),
  "random_stability": dict(t_ratio=0.2, eta=0.8, draws=4),
  "trajectory": dict(t_ratio=0.4, times=4),
  "secmi": dict(t_ratio=0.6, steps=10),
  "pia": dict(t_ratio=0.2, order=4.0),
  "pian": dict(t_ratio=0.6, order=4.0, mean_absolute=0.7978845608028654),
  "sima": dict(t_ratio=0.1, order=4.0),
  "pfami": dict(t_ratio=0.4, draws=20, gain=0.1, shift=16),
  # A latent model gives back the clip as its decoder has it, at another level perhaps.
  "rediffuse": dict(t_ratio=0.2, draws=10, decoded=True),
  "gradient_norm": dict(t_ratio=0.6, times=10),
  "noise_optimisation": dict(t_ratio=0.2, steps=5, line_search=5),
  "second_order": dict(t_ratio=0.1, eta=0.01, steps=8),
  "relative_degradation": dict(t_ratio=0.1, eta=0.4, draws=4),
}

_SEARCHES: Mapping[str, Mapping[str, Any]] = {
  "continuation": dict(
    span=16.0, rungs=16, steps=2, warmup=2, momentum=0.8, restarts=1
  ),
  # The paper's.
  "bisection": dict(
    halvings=10,
    ascent_steps=12,
    step_size=0.25,
    momentum=0.9,
    restarts=5,
    min_gain=0.01,
    patience=3,
    min_gradient=1e-6,
  ),
  "auto_pgd": dict(halvings=6, ascent_steps=50, restarts=1),
  "minimum_norm": dict(steps=35, step_size=2.0, shrink=0.1, start=0.25),
  "random_directions": dict(span=16.0, rungs=16, draws=6),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipSettings(Settings):
  """Which clips of the tracks are scored.

  Attributes:
    clip_seconds: length of a clip; 0 for that of the clips which the model was trained
      on, where its record says so, and for 4 seconds elsewhere.
    clips_per_track: clips of every track, fewer if one has fewer: all tracks must have
      the same number, since means of unlike numbers of clips vary unlike.
  """

  clip_seconds: float = 0.0
  clips_per_track: int = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditSettings(Settings):
  """All settings of an audit.

  The search, t, the distance, eta_ref and the baselines' settings were chosen on tune
  tracks of the embedded benchmark, for its small models; so were the methods. For a
  model of another kind they are untuned, which costs power and not validity.

  Attributes:
    corpus: the clips.
    seed: of the draws of noise, of the split of the reference, and of permutations.
    t_ratio: the probe's time over T.
    match_times: whether every t_ratio is taken for a time of DiffWave's schedule, and
      models on a path in continuous time are scored at the same log-SNR
      (`audit.times`).
    num_inference_steps: S, deterministic steps of the reverse process.
    precision: of the networks' blocks, `float32` or `bfloat16`.
    stop_at: what latent models are decoded to, `waveform` or `mel`.
    distance: name of a distance (`distances.get`).
    search: the search.
    tau: how tau is calibrated.
    anchored: the probe anchored at the clip.
    twins: the twins that are scored beside a clip where there are reference tracks.
      Of the default ones those are left out that carry no signal under a model; others
      are refused.
    reference_free_twins: the twins that are scored where there are no reference tracks,
      and whose test of the suspects alone is shown where there are some. None that
      models may prefer without training (`twins.kind`).
    two_sided: whether tests of versions take the size of a difference: a master of
      inverted polarity scores below its polarity twin. Refused where versions were held
      back.
    canary_randomised: whether it was drawn at random, for each track by itself, which
      version is the published one, where versions were held back. Albums then play no
      part.
    methods: what is scored, in this order; their mean, at equal weights, is the panel.
    baselines: by name, the settings of each.
    batch_size: clips on a device at once; 0 finds what fits.
    alpha: level of the verdicts; the smaller it is, the larger the reference must be.
    permutations: at most so many permutations for a p-value.
    albums: `known` exchanges whole albums where tags, packages or folders tell them;
      `tracks` takes tracks for independent in any case, which the verdict then says.
  """

  RULES: ClassVar[tuple[Rule, ...]] = (
    *EXPERIMENT_RULES,
    above(0, 0.5, "alpha"),
    whole(99, 1_000_000, "permutations"),
    one_of(ALBUMS, "albums"),
    true_or_false("two_sided", "canary_randomised", "match_times"),
  )
  ONCE: ClassVar[tuple[str, ...]] = (*Experiment.ONCE, "reference_free_twins")

  corpus: ClipSettings = ClipSettings()
  seed: int = 0
  t_ratio: float = 0.1
  match_times: bool = True
  num_inference_steps: int = 1
  precision: str = "float32"
  stop_at: str = "waveform"
  distance: str = "waveform"
  search: SearchSettings = dataclasses.field(
    default_factory=lambda: SearchSettings(options=_SEARCHES)
  )
  tau: TauSettings = dataclasses.field(default_factory=TauSettings)
  anchored: AnchoredSettings = dataclasses.field(default_factory=AnchoredSettings)
  twins: TwinSettings = dataclasses.field(
    default_factory=lambda: TwinSettings(
      names=("polarity", "reversal"), development=True
    )
  )
  reference_free_twins: tuple[str, ...] = ("polarity",)
  two_sided: bool = False
  canary_randomised: bool = False
  methods: tuple[str, ...] = (
    "loss",
    "rediffuse",
    "gradient_norm",
    "lsa_probe_anchored",
  )
  baselines: Mapping[str, Mapping[str, Any]] = dataclasses.field(
    default_factory=lambda: _BASELINES
  )
  batch_size: int = 8
  alpha: float = 0.05
  permutations: int = 9_999
  albums: str = "known"

  @classmethod
  def from_dict(cls, values: Mapping[str, Any]) -> Self:
    """Makes settings of nested dicts and checks them.

    Raises:
      SettingError: see `Settings.from_dict`; besides, alpha is not below 0.5, there is
        no method or no such twin, no p-value of so few permutations would be as low as
        alpha, or a twin that models may prefer is to be used without reference tracks.
    """
    made = super().from_dict(values)
    if made.alpha == 0.5:
      raise SettingError("alpha=0.5: above 0 and below 0.5, a number")
    if made.corpus.clips_per_track is None:
      raise SettingError("corpus.clips_per_track=None: at least 1, a whole number")
    if not made.methods:
      raise SettingError("methods: names none; give at least one, such as loss")
    if made.permutations + 1 < 1 / made.alpha:
      raise SettingError(
        f"permutations={made.permutations}: no p-value would be as low as"
        f" alpha={made.alpha:g}; give at least {1 / made.alpha - 1:.0f}"
      )
    made._check_twins()
    return made

  def _check_twins(self) -> None:
    """Refuses twins that there are not, or whose null takes reference tracks."""
    for name in self.twins.names:
      _kind("twins.names", name)
    for name in self.reference_free_twins:
      kind = _kind("reference_free_twins", name)
      if kind.prefers:
        raise SettingError(
          f"reference_free_twins={name}: models may prefer the clip to it without any"
          f" training ({kind.assumes} is not known to hold); give it in twins.names and"
          " reference tracks"
        )

  def experiment(self) -> Experiment:
    """The settings of the evaluation that scores the clips of an audit."""
    shared = {field.name for field in dataclasses.fields(Experiment)}
    shared &= {field.name for field in dataclasses.fields(self)} - {"corpus"}
    return Experiment(targets={}, **{name: getattr(self, name) for name in shared})


def _kind(setting: str, name: str) -> twin_lib.Kind:
  """What is known of a twin; an error that begins with a setting where it is not."""
  if name not in twin_lib.names():
    known = ", ".join(twin_lib.names())
    raise SettingError(f"{setting}={printable(name)}: known: {known}")
  return twin_lib.kind(name)
