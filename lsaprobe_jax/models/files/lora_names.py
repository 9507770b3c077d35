"""What the tensors of a LoRA file change: names of diffusers, old and new, and of peft.

A name is that of a module of the base network, with what stands before it (`unet.`,
`transformer.`, peft's `base_model.model.`) and behind it (`lora_A.weight`,
`lora.down.weight`, `alpha`).
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from lsaprobe_jax.models.files import tensors

PEFT = "base_model.model."
# The network that a pipeline's folder names so, or one that is not named.
_PARTS = {"transformer.": "transformer", "unet.": "unet", "diffusion_model.": None}
_TEXT = re.compile(r"(text_encoder(_\d+)?|lora_te\d?)[._]")
# diffusers before 0.17 kept what it trained in the attention's processor.
_OLD = {"to_q_lora": "to_q", "to_k_lora": "to_k", "to_v_lora": "to_v"}
_OLD |= {"to_out_lora": "to_out.0"}
# peft puts the adapter's name in the middle, where it was not saved by peft itself.
_ADAPTER = re.compile(r"\.(lora_[AB])\.[\w-]+\.weight$")
_KINDS = {
  ".lora_A.weight": "down",
  ".lora.down.weight": "down",
  ".lora_down.weight": "down",
  ".lora_B.weight": "up",
  ".lora.up.weight": "up",
  ".lora_up.weight": "up",
  ".lora.alpha": "alpha",
  ".alpha": "alpha",
}
# Adapters that are no LoRA, or more than one.
_OTHERS = {
  r"lora_magnitude_vector|dora_scale": "a DoRA, which also rescales the weights",
  r"\.lokr_": "a LoKr, a Kronecker product, and no LoRA",
  r"\.hada_": "a LoHa, a Hadamard product, and no LoRA",
  r"\.lora_B(\.[\w-]+)?\.bias$": "a LoRA with biases of its own (lora_bias)",
  r"\.lora_embedding_": "a LoRA of embeddings",
  r"^lora_unet_": "a LoRA under names of kohya-ss's scripts, in which dots are lost;"
  " rename its tensors as the network's modules are called: it is",
}


class Names(NamedTuple):
  """Names of a file's tensors, sorted.

  Attributes:
    part: `transformer` or `unet`; None where the names do not say.
    modules: the names of the tensors of each module of the network, by what they are:
      `down` (A), `up` (B) and, where there is one, `alpha`.
    text: tensors that change a text encoder.
    peft: whether they are peft's names.
  """

  part: str | None
  modules: dict[str, dict[str, str]]
  text: list[str]
  peft: bool


def sort(names: Iterable[str]) -> Names:
  """Sorts the names of a LoRA file's tensors.

  Raises:
    ValueError: it is no LoRA, a LoRA and something else, a LoRA of two networks, or
      one of a pair is missing.
  """
  names = sorted(names)
  for pattern, said in _OTHERS.items():
    if found := [name for name in names if re.search(pattern, name)]:
      raise ValueError(f"{said}; not read: {tensors.shortened(found)}")
  parts, modules, unknown = set(), {}, []
  text = [name for name in names if _TEXT.match(name)]
  for name in sorted(set(names) - set(text)):
    part, module, kind = _parse(name)
    if kind is None:
      unknown.append(name)
      continue
    parts.add(part)
    own = modules.setdefault(module, {})
    if kind in own:
      both = tensors.shortened([own[kind], name])
      raise ValueError(f"two tensors are one of the same module: {both}")
    own[kind] = name
  if unknown:
    raise ValueError(
      f"it holds tensors that are not a LoRA's: {tensors.shortened(unknown)}"
    )
  if len(parts - {None}) > 1:
    raise ValueError("it changes a transformer and a unet; no pipeline here has both")
  if not modules:
    raise ValueError("it changes nothing but a text encoder, which is not merged")
  halves = [name for name, own in modules.items() if not {"down", "up"} <= own.keys()]
  if halves:
    raise ValueError(f"modules with one of A and B only: {tensors.shortened(halves)}")
  peft = any(name.startswith(PEFT) for name in names)
  return Names(next(iter(parts - {None}), None), modules, text, peft)


def _parse(name: str) -> tuple[str | None, str, str | None]:
  """Returns (part, module, kind) of a name; no kind where it is not a LoRA's."""
  name, part = name.removeprefix(PEFT), None
  for prefix, named in _PARTS.items():
    if name.startswith(prefix):
      name, part = name.removeprefix(prefix), named
      break
  name = name.replace(".processor.", ".")
  for old, new in _OLD.items():
    name = name.replace(f".{old}.", f".{new}.lora.")
  name = _ADAPTER.sub(r".\1.weight", name)
  for suffix, kind in _KINDS.items():
    if name.endswith(suffix) and name != suffix:
      return part, name.removesuffix(suffix), kind
  return part, name, None
