"""How much of a LoRA's product is added: the settings that peft stores beside it.

`W + scale B A`, where scale is alpha over the rank, or over its root (rsLoRA).
"""

import math
import re
import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from lsaprobe_jax.models import checks
from lsaprobe_jax.text import printable

_MOST = 1_000_000
# A name, perhaps with the dots escaped and fixed at its ends: no search is needed.
_LITERAL = re.compile(r"\^?(?:[\w-]|\\?\.)+\$?")
# What else an update depends on, and the values under which it is a plain LoRA.
_PLAIN = {
  "bias": (None, "none"),
  # Others begin by changing the base weights, and the file holds changes of those.
  "init_lora_weights": (None, True, False, "gaussian", "eva", "orthogonal", "mica"),
}
_READ = ("peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora")
# They are about the training, other layers than those here, or the file's origin.
_UNREAD = {
  "auto_mapping",
  "base_model_name_or_path",
  "corda_config",
  "ensure_weight_tying",
  "eva_config",
  "exclude_modules",
  "fan_in_fan_out",
  "inference_mode",
  "layers_pattern",
  "layers_to_transform",
  "loftq_config",
  "lora_dropout",
  "lora_ga_config",
  "megatron_config",
  "megatron_core",
  "peft_version",
  "qalora_group_size",
  "revision",
  "runtime_config",
  "target_modules",
  "task_type",
  "velora_config",
}
_MENDS = {
  "use_dora": "a DoRA also rescales the weights",
  "modules_to_save": "it replaces whole modules",
  "init_lora_weights": "training began by changing the base weights; convert it to a"
  " plain LoRA (peft's save_pretrained with path_initial_model_for_weight_conversion)",
}


class Settings(NamedTuple):
  """What peft's configuration says of the scale.

  Attributes:
    alpha: of modules that no pattern names.
    alphas: alpha by the name of a module, of which the end is enough unless it begins
      with `^`; the first that fits counts.
    ranks: the ranks that there may be.
    stabilised: whether alpha is divided by the root of the rank.
  """

  alpha: float
  alphas: Mapping[str, float]
  ranks: frozenset[int]
  stabilised: bool

  def scale(self, module: str, rank: int) -> float:
    """Returns what the product B A of a module is multiplied by.

    Raises:
      ValueError: the settings know no such rank: they are of another file.
    """
    if rank not in self.ranks:
      known = ", ".join(map(str, sorted(self.ranks)))
      raise ValueError(
        f"{printable(module)} has rank {rank}, and its settings know {known} only; they"
        " are of another LoRA"
      )
    fitting = (alpha for name, alpha in self.alphas.items() if _fits(name, module))
    return next(fitting, self.alpha) / (math.sqrt(rank) if self.stabilised else rank)


def read(config: Mapping[str, Any], where: str) -> Settings:
  """Reads peft's configuration of a LoRA.

  Args:
    config: `adapter_config.json`, or the same in a safetensors file's header.
    where: what messages call it.

  Raises:
    ValueError: it is not of a plain LoRA, or is damaged.
  """
  if config.get("peft_type", "LORA") != "LORA":
    checks.refuse(f"{where}: peft_type", config["peft_type"], "LORA")
  for key, value in config.items():
    allowed = _PLAIN.get(key, (None, False, "", {}, []))
    # 0 and 1 are no truth values here.
    known = any(type(value) is type(one) and value == one for one in allowed)
    if key in _READ or key in _UNREAD or known:
      continue
    shown = f"{printable(key[:60])} = {printable(reprlib.repr(value))}"
    why = _MENDS.get(key, "a plain LoRA does not have it")
    raise ValueError(f"{where}: {shown} is not supported: {why}")
  whole = lambda name, value: checks.whole(f"{where}: {name}", value, 1, _MOST)
  real = lambda name, value: checks.real(f"{where}: {name}", value, 0, _MOST)
  ranks = _pattern(config, "rank_pattern", where)
  alphas = _pattern(config, "alpha_pattern", where)
  # A rank stands in the tensors themselves; of alpha the patterns are needed.
  for name in alphas:
    if not _LITERAL.fullmatch(name):
      checks.refuse(
        f"{where}: alpha_pattern", name, "a module's name: regular expressions of a"
        " file are not run",
      )  # fmt: skip
  stabilised = config.get("use_rslora") or False
  if type(stabilised) is not bool:
    checks.refuse(f"{where}: use_rslora", stabilised, "true or false")
  return Settings(
    alpha=real("lora_alpha", config.get("lora_alpha", 8)),
    alphas={name: real(f"alpha_pattern {name}", v) for name, v in alphas.items()},
    ranks=frozenset(
      [whole("r", config.get("r", 8))]
      + [whole(f"rank_pattern {printable(name)}", v) for name, v in ranks.items()]
    ),
    stabilised=stabilised,
  )


def _pattern(config: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
  return checks.table(f"{where}: {key}", config.get(key) or {}, (), None)


def _fits(pattern: str, module: str) -> bool:
  """Returns whether a pattern's name is a module's, or its end after a dot."""
  name = pattern.removesuffix("$").replace("\\.", ".")
  if name.startswith("^"):
    return module == name[1:]
  return module == name or module.endswith(f".{name}")
