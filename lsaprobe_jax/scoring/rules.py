"""What settings may be: one table, read before anything is opened or scored.

A rule names settings by their dotted names, `*` for any part, and says what is wanted
of their values; a sequence's rule holds of each of its items. What depends on the model
or the clips (times, lengths, methods) is checked in `opening`, once these are there.
"""

import dataclasses
import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from absl import app
from ml_collections import ConfigDict

from lsaprobe_jax.text import printable


@dataclasses.dataclass(frozen=True)
class Rule:
  """What is wanted of some settings.

  Attributes:
    names: dotted, with `*`.
    holds: of a value.
    wanted: what an error says.
  """

  names: tuple[str, ...]
  holds: Callable[[Any], bool]
  wanted: str


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(least: int, most: int, *names: str) -> Rule:
  """A whole number from `least` to `most`."""
  whole = lambda value: isinstance(value, int) and not isinstance(value, bool)
  holds = lambda value: whole(value) and least <= value <= most
  return Rule(names, holds, f"at least {least} and at most {most}, a whole number")


def _above(bound: float, most: float, *names: str) -> Rule:
  """A number above `bound` and at most `most`."""
  holds = lambda value: _is_number(value) and bound < value <= most
  return Rule(names, holds, f"above {bound:g} and at most {most:g}, a number")


def _between(least: float, most: float, *names: str) -> Rule:
  """A number from `least` to `most`."""
  holds = lambda value: _is_number(value) and least <= value <= most
  return Rule(names, holds, f"at least {least:g} and at most {most:g}, a number")


def _or_none(rule: Rule) -> Rule:
  holds = lambda value: value is None or rule.holds(value)
  return dataclasses.replace(rule, holds=holds, wanted=f"{rule.wanted}, or None")


def _saying(wanted: str, rule: Rule) -> Rule:
  return dataclasses.replace(rule, wanted=wanted)


def _one_of(choices: tuple[str, ...], *names: str) -> Rule:
  return Rule(names, lambda value: value in choices, f"one of {', '.join(choices)}")


# Upper bounds are far beyond use; past them nothing would answer or fit in memory.
_MOST_BUDGET = 1e6
_MOST_SECONDS = 4 * 3600
_MOST_REPEATS = 100_000
RULES = (
  # Of evaluations. Seeds are int32 on the device, and sweeps count on from them.
  _whole(0, 2**31 - 1_001, "seed"),
  _saying("0 finds it, at most a billion", _whole(0, 1_000_000_000, "batch_size")),
  _whole(1, 1_000, "num_inference_steps"),
  # The probe's own is checked against the model's schedule (`diffusion.timestep`).
  _above(0, 1, "baselines.*.t_ratio", "sweep.t_ratio", "sweep.equal_compute"),
  _between(0, _MOST_SECONDS, "corpus.clip_seconds", "corpus.scored_seconds"),
  _or_none(
    _whole(1, 1_000_000, "corpus.clips_per_track", "corpus.dev_clips_per_track")
  ),
  _one_of(("float32", "bfloat16"), "precision"),
  _one_of(("waveform", "mel"), "stop_at"),
  Rule(("untrained",), lambda value: isinstance(value, bool), "True or False"),
  _above(0, _MOST_BUDGET, "tau.eta_ref", "eta_refs", "sweep.eta_ref"),
  _above(0, 1, "tau.quantile"),
  _whole(1, 1_000_000, "bootstrap_resamples"),
  Rule(
    ("methods", "sweep.methods", "sweep.nfe_matched", "sweep.compared", "distance"),
    lambda value: isinstance(value, str) and value != "",
    "a name",
  ),
  # Of searches; `search.get` says the rest.
  _above(0, _MOST_BUDGET, "search.eta_max", "sweep.eta_max", "max_degradation.eta"),
  _above(0, _MOST_BUDGET, "search.*.span", "search.*.step_size", "search.*.start"),
  _whole(0, 10_000, "search.*.rungs", "search.*.steps", "search.*.warmup"),
  _whole(0, 10_000, "search.*.ascent_steps", "search.*.patience"),
  _whole(0, 1_000, "search.*.restarts", "search.*.halvings"),
  _whole(0, _MOST_REPEATS, "search.*.draws"),
  # Of baselines.
  _whole(1, _MOST_REPEATS, "baselines.*.draws", "baselines.*.times"),
  _whole(1, _MOST_REPEATS, "baselines.*.steps", "baselines.*.line_search"),
  _whole(0, _MOST_REPEATS, "baselines.*.shift"),
  _above(0, 100, "baselines.*.order", "baselines.*.mean_absolute"),
  _above(0, _MOST_BUDGET, "baselines.*.eta"),
  _between(0, _MOST_BUDGET, "baselines.*.gain"),
  # Of sweeps and audits.
  _whole(1, 1_000, "sweep.draws"),
  _above(0, 0.5, "alpha"),
  _whole(99, 1_000_000, "permutations"),
  # Of trainings.
  _whole(1, 10_000_000, "epochs", "log_every", "eval_epochs", "save_epochs"),
  _whole(0, 10_000_000, "snapshot_epochs", "warmup_steps"),
  _or_none(_whole(1, 1_000_000, "eval_clips_per_track")),
  # A rate at which the loss grows without end is found out by the loss.
  _between(0, 1e38, "learning_rate", "final_learning_rate"),
  _above(0, 1e38, "max_grad_norm"),
  _between(0, 1e38, "kl_weight", "mel_weight"),
  _between(0, 1, "ema_decay"),
  _one_of(("float32", "float16", "bfloat16"), "stored_dtype"),
  _whole(1, 2, "loss_power"),
)


def check(config: ConfigDict, flag: str = "--config") -> None:
  """Refuses settings that cannot be used, by their own values.

  Args:
    config: all settings, of whatever kind of run: a rule for what is not there says
      nothing.
    flag: what an error puts before a setting's name.

  Raises:
    app.UsageError: `--config.NAME=VALUE: wanted`, of the first one.
  """
  for name, value in _leaves(config):
    named = f"{flag}.{name}={_shown(value)}"
    if isinstance(value, float) and not math.isfinite(value):
      raise app.UsageError(f"{named}: a finite number")
    if isinstance(value, int) and value.bit_length() > 63:
      raise app.UsageError(f"{named}: an integer of at most 63 bits")
    for rule in RULES:
      matches = any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.names)
      if matches and not rule.holds(value):
        raise app.UsageError(f"{named}: {rule.wanted}")


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
  """Dotted names of settings and their values; each item of a sequence by its name."""
  if isinstance(value, ConfigDict | Mapping):
    for key, item in value.items():
      yield from _leaves(item, f"{name}.{key}" if name else str(key))
  elif isinstance(value, list | tuple):
    for item in value:
      yield from _leaves(item, name)
  else:
    yield name, value


def _shown(value: Any) -> str:
  try:
    return f"{printable(value):.60}"
  except ValueError:  # An integer of more digits than Python prints.
    return "(an endless integer)"
