"""LoRA files, read and merged in plain NumPy; the originals are in test_lora_parity."""

import hashlib
import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models.files import lora

RANK = 2
SHAPES = {
  "blocks.0.attn.to_q": (6, 4),
  "blocks.0.attn.to_out.0": (4, 6),
  "blocks.1.attn.to_q": (6, 4),
  "conv": (3, 4, 5),
  "down.conv": (3, 4, 3, 3),
}
OWN = {"peft_type": "LORA", "r": RANK, "lora_alpha": 6}


def draw(name, *shape):
  seed = [ord(letter) for letter in name]
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def base():
  """A network's state dict: weights, and what no LoRA is of."""
  state = {f"{name}.weight": draw(name, *shape) for name, shape in SHAPES.items()}
  return state | {"conv.bias": draw("bias", 3), "norm.weight": draw("norm", 4)}


def factors(module, rank=RANK):
  """A and B of a module, as PyTorch has them."""
  out, *rest = SHAPES[module]
  ones = (1,) * (len(rest) - 1)
  return draw(f"{module} A", rank, *rest), draw(f"{module} B", out, rank, *ones)


def tensors(*modules, prefix="", down=".lora_A.weight", up=".lora_B.weight", **ranks):
  found = {}
  for module in modules or SHAPES:
    a, b = factors(module, ranks.get(module.replace(".", "_"), RANK))
    found |= {f"{prefix}{module}{down}": a, f"{prefix}{module}{up}": b}
  return found


def expected(module, scale, rank=RANK):
  """W + scale B A, with a loop over the ranks."""
  a, b = factors(module, rank)
  weight = base()[f"{module}.weight"].astype(np.float64)
  for k in range(rank):
    column = b[:, k].reshape(-1)
    weight += scale * np.multiply.outer(column, a[k].astype(np.float64))
  return weight


@pytest.fixture
def file(tmp_path):
  """Writes a LoRA's file, or peft's folder where there are settings."""

  def write(found, settings=None, header=None):
    name = "lora" if settings is None else "adapter_model"
    path = tmp_path / f"{name}.safetensors"
    text = header and {"lora_adapter_metadata": json.dumps(header), "format": "pt"}
    save_file(found, path, metadata=text)
    if settings is None:
      return path
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    return tmp_path

  return write


def check(source, scales, part="unet", scale=1.0, ranks=None):
  """Merges, and compares all weights with the formula; others are as they were."""
  merged = lora.merge(base(), lora.read(source, scale), part)
  for name, value in base().items():
    module = name.removesuffix(".weight")
    if module in scales:
      rank = (ranks or {}).get(module, RANK)
      value = expected(module, scales[module] * scale, rank)
      assert not np.allclose(base()[name], value, atol=0.01)
    np.testing.assert_allclose(merged[name], value, rtol=1e-5, atol=1e-5)
  assert merged.keys() == base().keys()


@pytest.mark.parametrize("prefix", ["", "unet.", "diffusion_model."])
def test_names_of_diffusers(file, prefix):
  """Without alpha diffusers takes it for the rank."""
  check(file(tensors(prefix=prefix)), dict.fromkeys(SHAPES, 1.0))


@pytest.mark.parametrize(
  ("down", "up"),
  [
    (".lora.down.weight", ".lora.up.weight"),
    (".lora_down.weight", ".lora_up.weight"),
    (".lora_A.default.weight", ".lora_B.default.weight"),
  ],
)
def test_other_endings(file, down, up):
  found = tensors(prefix="unet.", down=down, up=up)
  check(file(found), dict.fromkeys(SHAPES, 1.0))


def test_old_names_of_attention_processors(file):
  found = {}
  for module, old in (("to_q", "to_q_lora"), ("to_out.0", "to_out_lora")):
    a, b = factors(f"blocks.0.attn.{module}")
    stem = f"unet.blocks.0.attn.processor.{old}"
    found |= {f"{stem}.down.weight": a, f"{stem}.up.weight": b}
    found[f"{stem}.alpha"] = np.array(5, np.float32)
  check(file(found), {f"blocks.0.attn.{m}": 2.5 for m in ("to_q", "to_out.0")})


def test_names_of_ace_steps_own_repository(file):
  names = {"to_q": "q_proj", "to_out.0": "o_proj"}
  found = {}
  for module, other in names.items():
    a, b = factors(f"blocks.0.attn.{module}")
    stem = f"base_model.model.blocks.0.attn.{other}"
    found |= {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b}
  source = file(found, OWN)
  scales = {f"blocks.0.attn.{module}": 3.0 for module in names}
  check(source, scales, part="transformer")


def test_alpha_by_tensors(file):
  found = tensors(prefix="unet.")
  alphas = dict(zip(SHAPES, (1, 2, 3, 4, 5), strict=True))
  found |= {f"unet.{name}.alpha": np.array(a, np.float32) for name, a in alphas.items()}
  check(file(found), {name: a / RANK for name, a in alphas.items()})


@pytest.mark.parametrize("stabilised", [False, True])
def test_settings_of_peft(file, stabilised):
  settings = OWN | {
    "use_rslora": stabilised,
    "rank_pattern": {"conv": 3},
    "alpha_pattern": {
      "q": 9, "^blocks.0.attn.to_q": 1, "attn.to_q": 2.5, "to_out\\.0": 3, "^conv$": 4,
    },
  }  # fmt: skip
  ranks = {"conv": 3}
  alphas = dict(zip(SHAPES, (1, 3, 2.5, 4, 6), strict=True))
  root = (lambda rank: rank**0.5) if stabilised else float
  source = file(tensors(prefix="base_model.model.", **ranks), settings)
  scales = {name: a / root(ranks.get(name, RANK)) for name, a in alphas.items()}
  check(source, scales, ranks=ranks)
  # The file alone is the folder, as the settings lie beside it.
  check(source / "adapter_model.safetensors", scales, ranks=ranks, scale=0.5)


def test_settings_in_the_header(file):
  plain = {"r": RANK, "lora_alpha": 5, "alpha_pattern": {"down.conv": 1}}
  scales = dict.fromkeys(SHAPES, 2.5) | {"down.conv": 0.5}
  check(file(tensors(), header=plain), scales)
  named = {f"unet.{key}": value for key, value in plain.items()}
  named |= {"text_encoder.r": 4, "text_encoder.use_dora": True}
  check(file(tensors(prefix="unet."), header=named), scales)
  with pytest.raises(ArgumentError, match="says nothing of what its tensors change"):
    lora.read(file(tensors(prefix="transformer."), header=named))


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_types_on_both_sides(file, kind):
  cast = lambda found: {name: value.astype(kind) for name, value in found.items()}
  found, state = cast(tensors()), cast(base())
  merged = lora.merge(state, lora.read(file(found)), "unet")
  for module in SHAPES:
    a, b = (
      found[f"{module}.lora_{letter}.weight"].astype(np.float32) for letter in "AB"
    )
    added = np.einsum("or,ri...->oi...", b.reshape(b.shape[:2]), a)
    # What is added to a half-precision weight is not rounded to it.
    value = merged[f"{module}.weight"]
    assert value.dtype == np.float32
    wanted = state[f"{module}.weight"].astype(np.float32) + added
    np.testing.assert_allclose(value, wanted, rtol=1e-6, atol=1e-6)
  assert merged["norm.weight"].dtype == kind


def test_the_file_is_recorded(file):
  source = file(tensors(), OWN)
  record = lora.read(source, 0.25).record
  digest = lambda name: hashlib.sha256((source / name).read_bytes()).hexdigest()
  assert record == {
    "file": source.name,
    "sha256": digest("adapter_model.safetensors"),
    "config_sha256": digest("adapter_config.json"),
    "scale": 0.25,
  }


def test_changes_of_a_text_encoder_are_left_out(file):
  a, b = np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)
  stem = "text_encoder.layers.0.q_proj"
  text = {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b}
  source = file(tensors(prefix="unet.") | text)
  assert lora.read(source).text == tuple(text)
  assert lora.read(source).record["left_out"] == "text encoder"
  check(source, dict.fromkeys(SHAPES, 1.0))
  with pytest.raises(ArgumentError, match="changes nothing but a text encoder"):
    lora.read(file(text))


def refuse(source, match, scale=1.0):
  with pytest.raises(ArgumentError, match=match) as caught:
    lora.read(source, scale)
  said = str(caught.value)
  assert said.startswith(f"lora={source}: ")
  assert "\n" not in said


@pytest.mark.parametrize(
  ("setting", "value", "match"),
  [
    ("peft_type", "LOHA", "peft_type = 'LOHA' is not supported; it must be LORA"),
    ("use_dora", True, "use_dora = True is not supported: a DoRA also rescales"),
    ("bias", "lora_only", "bias = 'lora_only' is not supported"),
    ("modules_to_save", ["norm"], r"modules_to_save = \['norm'\].*whole modules"),
    ("lora_bias", True, "lora_bias = True is not supported"),
    ("init_lora_weights", "pissa", "'pissa'.*changing the base weights.*path_initial"),
    ("init_lora_weights", 1, "init_lora_weights = 1 is not supported"),
    ("layer_replication", [[0, 2]], "layer_replication"),
    ("kasa_config", {"beta": 1}, "kasa_config"),
    ("of_a_later_peft", 1, "of_a_later_peft = 1 is not supported"),
    ("r", 0, "r = 0 is not supported; it must be a whole number"),
    ("r", True, "r = True is not"),
    ("r", 3, "has rank 2, and its settings know 3 only; they are of another LoRA"),
    ("lora_alpha", "8", "lora_alpha = '8' is not supported; it must be a number"),
    ("alpha_pattern", {"(a+)+b": 1}, "expressions of a file are not run"),
    ("alpha_pattern", {".*to_q": 1}, "expressions of a file are not run"),
    ("alpha_pattern", [1], r"alpha_pattern = \[1\] is not supported; it must be a tab"),
    ("alpha_pattern", {"conv": None}, "alpha_pattern conv = None"),
    ("rank_pattern", {"conv": 0.5}, "rank_pattern conv = 0.5"),
    ("use_rslora", 1, "use_rslora = 1 is not supported; it must be true or false"),
    ("lora_alpha", 0, "changes nothing"),
  ],
)
def test_settings_that_are_refused(file, setting, value, match):
  source = file(tensors(), OWN | {setting: value})
  refuse(source, match)


def test_settings_of_peft_that_change_nothing_are_not_refused(file):
  unread = {
    "bias": "none", "base_model_name_or_path": "x", "lora_dropout": 0.1,
    "init_lora_weights": "gaussian", "target_modules": ["to_q"], "task_type": None,
    "inference_mode": True, "qalora_group_size": 16, "loftq_config": {},
    "of_a_later_peft": None, "peft_version": "9.9", "megatron_core": "megatron.core",
  }  # fmt: skip
  check(file(tensors(), OWN | unread), dict.fromkeys(SHAPES, 3.0))


@pytest.mark.parametrize(
  ("name", "match"),
  [
    ("conv.lora_magnitude_vector.weight", "a DoRA"),
    ("conv.dora_scale", "a DoRA"),
    ("conv.lokr_w1", "a LoKr"),
    ("conv.hada_w1_a", "a LoHa"),
    ("conv.lora_B.bias", "biases of its own"),
    ("emb.lora_embedding_A", "a LoRA of embeddings"),
    ("lora_unet_conv.lora_down.weight", "kohya-ss.*rename its tensors"),
    ("norm.weight", "tensors that are not a LoRA's: .*norm.weight"),
    ("norm.lora_A.weight", "one of A and B only: .*'norm'"),
    ("conv.lora_A.second.weight", "two tensors are one of the same module"),
    ("conv.alpha", r"no alpha of .*'blocks.0.attn.to_out.0'"),
    ("transformer.norm.lora_A.weight", "changes a transformer and a unet"),
  ],
)
def test_tensors_that_are_refused(file, name, match):
  prefix = "unet." if name.startswith("transformer.") else ""
  found = tensors(prefix=prefix) | {name: np.ones((2, 2), np.float32)}
  refuse(file(found), match)


def test_alpha_that_is_not_told_or_told_twice(file):
  peft = tensors(prefix="base_model.model.")
  refuse(file(peft), "nothing says its alpha; give the folder that")
  alphas = {f"{name}.alpha": np.array(1, np.float32) for name in SHAPES}
  refuse(file(tensors() | alphas, OWN), "alpha is told twice")
  pairs = {f"{name}.alpha": np.ones(2, np.float32) for name in SHAPES}
  refuse(file(tensors() | pairs), "alpha of .* is not one number")


@pytest.mark.parametrize(
  ("a", "b"),
  [((2, 4), (6, 3)), ((4,), (6,)), ((2, 4, 3), (6, 2)), ((2, 4, 3), (6, 2, 3))],
)
def test_factors_that_do_not_fit_each_other(file, a, b):
  found = {"conv.lora_A.weight": np.ones(a), "conv.lora_B.weight": np.ones(b)}
  refuse(file(found), r"A of conv has shape .* and B ")


def test_a_lora_before_training_is_refused(file):
  found = {k: v * ("lora_B" not in k) for k, v in tensors().items()}
  refuse(file(found), "it changes nothing: every product B A is zero")


def test_damaged_files(tmp_path, file):
  refuse(tmp_path / "none", "no such file or folder")
  (tmp_path / "weights.bin").write_bytes(b"\x80\x02}q\x00.")
  refuse(tmp_path, r"found: \['weights.bin'\]\); pickled weights are not read")
  refuse(tmp_path / "weights.bin", "no header of a safetensors file")
  path = file(tensors())
  path.write_bytes(path.read_bytes()[:-7])
  refuse(path, "MetadataIncompleteBuffer|incomplete")
  nan = tensors()
  nan["conv.lora_A.weight"][0] = np.nan
  refuse(file(nan), r"NaN in conv \(down\)")
  save_file(tensors(), path, metadata={"lora_adapter_metadata": "{"})
  refuse(path, "no JSON at character")
  save_file(tensors(), path, metadata={"lora_adapter_metadata": "[1]"})
  refuse(path, "is damaged")
  folder = file(tensors(), OWN)
  save_file(tensors(), folder / "pytorch_lora_weights.safetensors")
  refuse(folder, "one of them")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), 1e9, "1", True])
def test_scales_that_are_refused(file, scale):
  with pytest.raises(ArgumentError, match=r"^lora_scale = .*must be a number between"):
    lora.read(file(tensors()), scale)


def test_a_lora_of_another_network_shows_both_lists(file):
  a, b = np.ones((2, 7), np.float32), np.ones((6, 2), np.float32)
  found = tensors("conv", prefix="unet.")
  found |= {"unet.blocks.1.attn.to_q.lora_A.weight": a}
  found |= {"unet.blocks.1.attn.to_q.lora_B.weight": b}
  for module in ("mid.to_q", "vae.conv"):
    found |= {f"unet.{module}.lora_A.weight": a, f"unet.{module}.lora_B.weight": b}
  adapter = lora.read(file(found))
  with pytest.raises(ArgumentError) as caught:
    lora.merge(base(), adapter, "unet")
  said = str(caught.value)
  assert said.startswith(f"lora={adapter.name}: it does not fit the pipeline's unet")
  assert "the unet lacks: ['mid.to_q', 'vae.conv']" in said
  assert "not name: ['blocks.0.attn.to_out.0', 'blocks.0.attn.to_q', 'down." in said
  assert "shape: ['blocks.1.attn.to_q: (6, 7), expected (6, 4)']" in said
  with pytest.raises(ArgumentError, match="made for a unet, and the pipeline has a tr"):
    lora.merge(base(), adapter, "transformer")
