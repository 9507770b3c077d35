"""Pipelines that cannot be converted: the line names what is wrong."""

import json
import os
import pickle
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file


def test_tensors_that_do_not_fit_are_listed_on_both_sides(pipeline, refuse):
  path = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
  state = load_file(path)
  state["surplus.weight"] = np.zeros((2, 3), np.float32)
  del state["conv_out.bias"]
  state["class_embedding.weight"] = np.zeros((32, 5), np.float32)
  save_file(state, path)
  line = refuse(pipeline, "do not fit")
  assert "left over: ['unet/surplus/kernel']; missing: ['unet/conv_out/bias']" in line
  assert "unet/class_embedding/kernel: (5, 32), expected (6, 32)" in line


def test_an_unknown_kind_of_tensor_is_named(pipeline, refuse):
  path = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
  save_file(load_file(path) | {"bn.running_mean": np.zeros(3, np.float32)}, path)
  refuse(pipeline, r"vae: unexpected tensor 'bn\.running_mean'")


def test_half_a_weight_normalisation_is_named(pipeline, refuse):
  path = pipeline / "vocoder" / "model.safetensors"
  state = load_file(path)
  state["conv_pre.weight_g"] = state.pop("conv_pre.weight")[:, :1, :1]
  save_file(state, path)
  refuse(pipeline, r"conv_pre\.weight_g lacks conv_pre\.weight_v")


class Malicious:
  """Unpickled as Python does, it writes a file."""

  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return os.system, (f"touch {self._path}",)


def test_pickled_weights_are_refused_unread(pipeline, tmp_path, refuse):
  unet = pipeline / "unet"
  (unet / "diffusion_pytorch_model.safetensors").unlink()
  pickled = pickle.dumps(Malicious(tmp_path / "pwned"))
  (unet / "diffusion_pytorch_model.bin").write_bytes(pickled)
  refuse(
    pipeline,
    r"no diffusion_pytorch_model\.safetensors in .*unet \(found: diffusion_pytorch_"
    r"model\.bin\)\. Pickled weights are not read; .*safe_serialization=Tr",
  )
  assert not (tmp_path / "pwned").exists()


def test_damaged_files_are_named(pipeline, refuse):
  (pipeline / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 99)
  refuse(pipeline, r"vae/diffusion_pytorch_model\.safetensors cannot be read")
  (pipeline / "vae" / "config.json").write_text("{")
  refuse(pipeline, r"vae/config\.json is damaged")
  (pipeline / "vae" / "config.json").unlink()
  refuse(pipeline, r"no config\.json in .*vae")
  (pipeline / "model_index.json").unlink()
  refuse(pipeline, r"no model_index\.json in .*pipeline")


@pytest.mark.parametrize(
  ("file", "changes", "match"),
  [
    ("model_index.json", {"_class_name": "StableDiffusionPipeline"},
     "'StableDiffusionPipeline'; known: MusicLDMPipeline, AudioLDMPipeline"),
    ("unet/config.json", {"addition_embed_type": "text"}, "addition_embed_type"),
    ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "sample"),
    ("vocoder/config.json", {"model_in_dim": 9}, "multiple.* are 9 and 8"),
  ],
)  # fmt: skip
def test_unsupported_pipelines_are_refused(
  pipeline, edit, file, changes, match, refuse
):
  edit(file, **changes)
  refuse(pipeline, match)


@pytest.mark.parametrize(
  ("file", "changes", "match"),
  [
    ("unet/config.json", {"layers_per_block": 20_000}, "make 120,000 blocks; 256 are"),
    ("unet/config.json", {"layers_per_block": True}, "layers_per_block = True is not"),
    ("unet/config.json", {"norm_eps": 10**400}, r"norm_eps = 1000000.*\.\.\."),
    ("unet/config.json", {"block_out_channels": [8] * 17}, "a list of 1 to 16 values"),
    ("unet/config.json", {"time_embedding_dim": -3}, "time_embedding_dim = -3"),
    ("unet/config.json", {"x" * 10**6: "y" * 10**6}, "the key x{60} .= 'yyy"),
    ("vae/config.json", {"scaling_factor": 0}, "scaling_factor = 0 is not supported"),
    ("vae/config.json", {"scaling_factor": float("nan")}, "damaged .holds NaN"),
    ("vae/config.json", {"norm_num_groups": None}, "norm_num_groups = None"),
    ("vae/config.json", {"layers_per_block": 2000}, "make 8,000 blocks; 256"),
    ("vocoder/config.json", {"sampling_rate": 10**6}, "sampling_rate = 1000000 is"),
    ("vocoder/config.json", {"upsample_kernel_sizes": [16, 8, 10**6]}, "from 1 to 256"),
    ("vocoder/config.json", {"upsample_rates": [256, 256, 2]}, "product of at m"),
    ("vocoder/config.json", {"upsample_initial_channel": 4}, "8 or more"),
    ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**6}, "1 to 100,000"),
    ("scheduler/scheduler_config.json", {"beta_end": 1}, "beta_end = 1 is not"),
    ("scheduler/scheduler_config.json", {"trained_betas": [0.1, "x"]}, r"betas\[1\]"),
  ],
)  # fmt: skip
def test_values_are_checked_before_anything_is_built(
  pipeline, edit, file, changes, match, refuse
):
  edit(file, **changes)
  refuse(pipeline, match)


@pytest.mark.parametrize(
  ("value", "match"),
  [
    (
      np.full((4, 8, 3, 3), np.nan, np.float32),
      r"NaN in conv_out\.weight \(288 of 288",
    ),
    (np.full((4, 8, 3, 3), np.inf, np.float16), "infinity in conv_out"),
    (np.ones((4, 8, 3, 3), np.int64), "conv_out.weight is of type I64, but weights"),
    (np.ones((4, 8, 3, 3), bool), "conv_out.weight is of type BOOL"),
  ],
)
def test_what_is_no_weight_is_named(pipeline, value, match, refuse):
  path = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
  save_file(load_file(path) | {"conv_out.weight": value}, path)
  refuse(pipeline, f"/unet.*{match}")


def test_a_weight_norm_of_zero_is_named(pipeline, refuse):
  path = pipeline / "vocoder" / "model.safetensors"
  state = load_file(path)
  weight = state.pop("conv_pre.weight")
  state["conv_pre.weight_v"] = np.zeros_like(weight)
  state["conv_pre.weight_g"] = np.ones((len(weight), 1, 1), np.float32)
  save_file(state, path)
  refuse(pipeline, r"vocoder: NaN in conv_pre\.weight")
  state["conv_pre.weight_g"] = np.ones((1, 1, 9), np.float32)
  save_file(state, path)
  refuse(pipeline, r"conv_pre\.weight_g has shape \(1, 1, 9\), which is not")


def test_an_embedding_that_is_not_finite_is_refused(pipeline, tmp_path, refuse):
  np.save(tmp_path / "embedding.npy", np.array([1, 2, np.nan, 4, 5, 6]))
  refuse(pipeline, "NaN in the embedding", embedding=tmp_path / "embedding.npy")


def test_an_embedding_that_does_not_fit_is_refused(pipeline, tmp_path, refuse):
  path = tmp_path / "embedding.npy"
  np.save(path, np.arange(5.0))
  refuse(pipeline, r"has shape \(5,\), the UNet takes \(6,\)", embedding=path)
  np.save(path, np.array([Malicious(tmp_path / "pwned")]), allow_pickle=True)
  refuse(pipeline, "Object arrays cannot be loaded", embedding=path)
  assert not (tmp_path / "pwned").exists()
  refuse(pipeline, "not both", embedding=path, prompt="piano")


def test_an_index_that_does_not_fit_its_files_is_refused(sharded, pipeline, refuse):
  unet, where = sharded
  path = unet / "diffusion_pytorch_model.safetensors.index.json"
  rewrite = lambda table: path.write_text(json.dumps({"weight_map": table}))
  name = sorted(where)[0]
  rewrite(where | {"conv.weight": where[name]})
  refuse(pipeline, r"00001-of-00002\.safetensors does not hold what .*index\.json says:"
         r" missing \['conv\.weight'\], unexpected \[\]")  # fmt: skip
  rewrite({key: file for key, file in where.items() if key != name})
  refuse(pipeline, rf"missing \[\], unexpected \['{re.escape(name)}'\]")
  others = (
    "../vae/diffusion_pytorch_model.safetensors",
    "../vae/diffusion_pytorch_model-00001-of-00002.safetensors",
    "diffusion_pytorch_model-copy.safetensors",
    "a-00001-of-00002.safetensors",
    "/etc/passwd",
    3,
  )
  for other in others:
    rewrite(where | {name: other})
    refuse(pipeline, r"is damaged \(its weight_map names no files beside it\)")
  rewrite(where | {name: "diffusion_pytorch_model-00003-of-00003.safetensors"})
  refuse(pipeline, r"lists .*-00003-of-00003\.safetensors, which is not there")
  path.write_text("{}")
  refuse(pipeline, r"index\.json is damaged \(no weight_map\)")


def test_two_variants_are_a_choice_that_is_not_made(pipeline, refuse):
  unet, stem = pipeline / "unet", "diffusion_pytorch_model"
  whole = unet / f"{stem}.safetensors"
  for kind in ("fp16", "bf16"):
    shutil.copy(whole, unet / f"{stem}.{kind}.safetensors")
  whole.unlink()
  refuse(pipeline, r"holds several variants .*bf16\.safetensors, .*fp16\.safetensors\)"
         r" and no diffusion_pytorch_model\.safetensors; leave one")  # fmt: skip


def test_a_prompt_needs_a_text_encoder(pipeline, refuse):
  refuse(pipeline, "a prompt needs text_encoder, which .*pipeline does not have",
         prompt="piano")  # fmt: skip


def test_a_diffwave_takes_no_prompt(tmp_path, refuse):
  (tmp_path / "weights.pt").write_bytes(b"never read")
  refuse(tmp_path / "weights.pt", "takes no prompt", prompt="piano")
