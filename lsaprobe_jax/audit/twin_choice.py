"""Which twins and methods an audit scores, given what it can compare with."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from lsaprobe_jax import twins
from lsaprobe_jax.audit.findings import ALONE, BY_REFERENCE, CANARY
from lsaprobe_jax.audit.settings import AuditSettings
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.metrics.pivot import NFE_MATCHED
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.scoring.factories import ANCHORED, PROBE

# So many clips say what a model makes of a twin.
_CLIPS = 4


def choose(
  settings: AuditSettings,
  mode: str,
  targets: Sequence[TrainedModel],
  suspects: Corpus,
) -> tuple[AuditSettings, list[str]]:
  """Fits twins and methods to a mode and to the models; takes no label.

  Args:
    settings: all settings.
    mode: see `Findings`.
    targets: the model and, where there is one, the reference model.
    suspects: clips of the suspects; a few are looked at.

  Returns:
    (settings with the twins and methods that are scored, what to note of them).

  Raises:
    SettingError: a twin that was asked for carries no signal, or no method is left.
  """
  notes = []
  if mode != BY_REFERENCE:
    settings, notes = _without_tau(settings)
  if mode == CANARY:
    return _with_twins(settings, ()), notes
  name = "reference_free_twins" if mode == ALONE else "twins.names"
  wanted, default = (_twins_of(s, mode) for s in (settings, AuditSettings()))
  if mode == ALONE and settings.twins.names != AuditSettings().twins.names:
    notes.append(
      "twins.names counts where there are reference tracks; without any the twins are"
      f" those of reference_free_twins: {', '.join(wanted) or 'none'}"
    )
  reasons = _unsuitable(settings, targets, suspects, wanted)
  for twin, reason in reasons.items():
    if wanted != default:
      raise SettingError(f"{name}={twin}: {reason}; leave it out")
    notes.append(f"left out: the twin {twin}: {reason}")
  return _with_twins(settings, [t for t in wanted if t not in reasons]), notes


def alone(settings: AuditSettings) -> tuple[str, ...]:
  """Those of the twins scored whose test needs no reference tracks."""
  return tuple(t for t in settings.twins.names if t in settings.reference_free_twins)


def _twins_of(settings: AuditSettings, mode: str) -> tuple[str, ...]:
  return settings.reference_free_twins if mode == ALONE else settings.twins.names


def _with_twins(settings: AuditSettings, names: Sequence[str]) -> AuditSettings:
  # Without twins of development clips twin-calibrated scores have no scale.
  wanted = dataclasses.replace(settings.twins, names=tuple(names), development=True)
  return dataclasses.replace(settings, twins=wanted)


def _without_tau(settings: AuditSettings) -> tuple[AuditSettings, list[str]]:
  """Leaves out methods that need a tau, which development clips calibrate."""
  needs = lambda name: name in (PROBE, ANCHORED) or name.endswith(NFE_MATCHED)
  left_out = [name for name in settings.methods if needs(name)]
  kept = tuple(name for name in settings.methods if not needs(name))
  if not kept:
    raise SettingError(
      f"methods: {', '.join(left_out)} need a tau, which reference tracks calibrate;"
      " give those, or another method, such as loss"
    )
  notes = []
  if left_out:
    verb = "needs" if len(left_out) == 1 else "need"
    notes.append(
      f"left out: {', '.join(left_out)}, which {verb} a tau: there are no reference"
      " tracks to calibrate it on"
    )
  return dataclasses.replace(settings, methods=kept), notes


def _unsuitable(
  settings: AuditSettings,
  targets: Sequence[TrainedModel],
  suspects: Corpus,
  names: Sequence[str],
) -> dict[str, str]:
  """Why twins carry no signal under a model, by name; empty where all do."""
  if not names:
    return {}
  audio = np.asarray(suspects.per_track(1).audio[:_CLIPS])
  reasons = {}
  for target in targets:
    model = target.for_length(audio.shape[-1]).model
    for found in twins.suitable(model, audio, names, seed=settings.seed):
      if not found.suitable:
        reasons.setdefault(found.name, found.reason)
  return reasons
