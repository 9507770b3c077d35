"""Settings of an experiment: what is scored, by which methods, under which models."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from lsaprobe_jax.data.splits import PARTS
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.settings import (
  Rule,
  Settings,
  a_name,
  above,
  between,
  one_of,
  or_none,
  plain,
  saying,
  true_or_false,
  whole,
)

# Upper bounds are far beyond use; past them nothing would answer or fit in memory.
_MOST_BUDGET = 1e6
_MOST_SECONDS = 4 * 3600
_MOST_REPEATS = 100_000

PRECISIONS = ("float32", "bfloat16")
STOPS = ("waveform", "mel")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusSettings(Settings):
  """Which clips are scored.

  Attributes:
    path: a corpus's name, or a folder.
    clip_seconds: length of a clip.
    clips_per_track: at most so many clips of a track in the halves; None takes all.
    dev_clips_per_track: at most so many clips of a development track.
    scored_seconds: only the first seconds of each clip are scored; 0 for all of it.
  """

  path: str = "multigenre"
  clip_seconds: float = 0.512
  clips_per_track: int | None = 1
  dev_clips_per_track: int | None = 3
  scored_seconds: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TauSettings(Settings):
  """How tau is calibrated: the quantile, over development clips, of D at eta_ref."""

  eta_ref: float = 0.4
  quantile: float = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnchoredSettings(Settings):
  """The probe anchored at the clip, the method `lsa_probe_anchored`.

  Distance, search and steps are those of the probe.

  Attributes:
    t_ratio: its time over T.
    tau: how its tau is calibrated, on the anchored D of development clips, which holds
      their own reconstruction error.
  """

  t_ratio: float = 0.2
  tau: TauSettings = TauSettings(eta_ref=0.11, quantile=0.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwinSettings(Settings):
  """Twins that every method but the blind one scores beside a clip.

  Attributes:
    names: of the twins (`twins.names`); none by default.
    development: whether development clips have twins too, so that twin-calibrated
      scores have cutoffs and scales; tau needs none.
  """

  names: tuple[str, ...] = ()
  development: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchSettings(Settings):
  """Which search is used, and the settings of every search.

  Attributes:
    name: of the search that is used.
    eta_max: the largest budget, in units of sigma_t, measured by the norm.
    norm: `rms` (root mean square), `l2` or `linf`.
    options: by a search's name, its own settings. In a dict they stand beside the
      name: `{"name": "continuation", "eta_max": 0.8, "continuation": {...}}`.
  """

  name: str = "continuation"
  eta_max: float = 0.8
  norm: str = "rms"
  options: Mapping[str, Mapping[str, Any]] = dataclasses.field(
    default_factory=lambda: {
      "continuation": dict(
        span=16.0, rungs=16, steps=2, warmup=2, momentum=0.8, restarts=1
      )
    }
  )

  @classmethod
  def _build(cls, values: Any, name: str) -> Self:
    if not isinstance(values, Mapping):
      return super()._build(values, name)
    own = {
      key: value for key, value in values.items() if key in ("name", "eta_max", "norm")
    }
    options = dict(values.get("options", {}))
    for key, value in values.items():
      if key in own or key == "options":
        continue
      if not isinstance(value, Mapping):
        inside = f"{name}." if name else ""
        raise SettingError(
          f"{inside}{key}: there is no such setting; known: name, eta_max, norm, and"
          " the names of searches"
        )
      options[key] = value
    if options:
      own["options"] = plain(options)
    return super()._build(own, name)

  def _nested(self) -> dict[str, Any]:
    """Nested dicts, with the settings of each search beside the name."""
    made = super()._nested()
    return {"name": made["name"], "eta_max": made["eta_max"], "norm": made["norm"]} | (
      made["options"]
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AscentSettings(Settings):
  """The budget of the method `max_degradation`, the ascent without a search."""

  eta: float = 0.8


SEARCH_RULES: tuple[Rule, ...] = (
  above(0, _MOST_BUDGET, "search.eta_max", "max_degradation.eta"),
  above(0, _MOST_BUDGET, "search.*.span", "search.*.step_size", "search.*.start"),
  whole(0, 10_000, "search.*.rungs", "search.*.steps", "search.*.warmup"),
  whole(0, 10_000, "search.*.ascent_steps", "search.*.patience"),
  whole(0, 1_000, "search.*.restarts", "search.*.halvings"),
  whole(0, _MOST_REPEATS, "search.*.draws"),
)
BASELINE_RULES: tuple[Rule, ...] = (
  above(0, 1, "baselines.*.t_ratio"),
  whole(1, _MOST_REPEATS, "baselines.*.draws", "baselines.*.times"),
  whole(1, _MOST_REPEATS, "baselines.*.steps", "baselines.*.line_search"),
  whole(0, _MOST_REPEATS, "baselines.*.shift"),
  above(0, 100, "baselines.*.order", "baselines.*.mean_absolute"),
  above(0, _MOST_BUDGET, "baselines.*.eta"),
  between(0, _MOST_BUDGET, "baselines.*.gain"),
)
EXPERIMENT_RULES: tuple[Rule, ...] = (
  # Seeds are int32 on the device, and sweeps count on from them.
  whole(0, 2**31 - 1_001, "seed"),
  saying("0 finds it, at most a billion", whole(0, 1_000_000_000, "batch_size")),
  whole(1, 1_000, "num_inference_steps"),
  # The probe's own t_ratio is checked against the model's schedule.
  between(0, _MOST_SECONDS, "corpus.clip_seconds", "corpus.scored_seconds"),
  or_none(whole(1, 1_000_000, "corpus.clips_per_track", "corpus.dev_clips_per_track")),
  one_of(PARTS, "part"),
  one_of(PRECISIONS, "precision"),
  one_of(STOPS, "stop_at"),
  true_or_false("untrained"),
  above(0, _MOST_BUDGET, "tau.eta_ref", "anchored.tau.eta_ref"),
  above(0, 1, "tau.quantile", "anchored.tau.quantile"),
  true_or_false("twins.development"),
  whole(1, 1_000_000, "bootstrap_resamples"),
  a_name("methods", "distance"),
  *SEARCH_RULES,
  *BASELINE_RULES,
)
# Settings of an experiment that decide none of its rows, and may change on the way: a
# smaller batch where memory ran out, more resamples for the same rows.
WITHOUT_EFFECT = ("batch_size", "bootstrap_resamples")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(Settings):
  """All settings of an evaluation; the defaults are small and made for one device.

  Attributes:
    targets: models by name (`models.trained.load_model`): `A` and `B` of a cross-over,
      `reference` that saw neither half, or one model of any other name.
    corpus: the clips.
    seed: of the draws of noise, and of the statistics.
    part: which tracks of the halves are scored, `test`, `tune` or `all`.
    untrained: whether random weights take the place of the models' own.
    t_ratio: the probe's time over T.
    num_inference_steps: S, deterministic steps of the reverse process.
    precision: of the networks' blocks, `float32` or `bfloat16`.
    stop_at: what latent models are decoded to, `waveform` or `mel`.
    distance: name of a distance (`distances.get`).
    search: the search.
    tau: how tau is calibrated.
    anchored: the probe anchored at the clip.
    twins: twins of the clips, scored beside them.
    methods: what is scored, in this order: `lsa_probe`, `lsa_probe_anchored`,
      `max_degradation`, names of `baselines`, and those with `_nfe_matched` behind.
    baselines: by name, the settings of each; `t_ratio` is the probe's where none is
      given.
    max_degradation: the budget of that method.
    batch_size: clips on a device at once; 0 finds what fits.
    bootstrap_resamples: of the intervals by track.
  """

  RULES: ClassVar[tuple[Rule, ...]] = EXPERIMENT_RULES
  ONCE: ClassVar[tuple[str, ...]] = ("methods", "twins.names")

  targets: Mapping[str, str]
  corpus: CorpusSettings = CorpusSettings()
  seed: int = 0
  part: str = "test"
  untrained: bool = False
  t_ratio: float = 0.1
  num_inference_steps: int = 1
  precision: str = "float32"
  stop_at: str = "waveform"
  distance: str = "waveform"
  search: SearchSettings = SearchSettings()
  tau: TauSettings = TauSettings()
  anchored: AnchoredSettings = AnchoredSettings()
  twins: TwinSettings = TwinSettings()
  methods: tuple[str, ...] = ("lsa_probe",)
  baselines: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
  max_degradation: AscentSettings = AscentSettings()
  batch_size: int = 0
  bootstrap_resamples: int = 10_000
