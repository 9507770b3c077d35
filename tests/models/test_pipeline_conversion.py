"""MusicLDM and AudioLDM pipelines as model folders; weights drawn, not trained."""

import json

import jax
import numpy as np
import tiny_musicldm as tiny
from safetensors.numpy import load_file, save_file

from lsaprobe_jax.models import checkpoints, conversion, registry
from lsaprobe_jax.models.conversion import convert, find_model


def test_a_pipeline_becomes_a_model_folder(pipeline, tmp_path):
  assert convert(pipeline, tmp_path / "model") == tmp_path / "model"
  params, record = checkpoints.load_model(tmp_path / "model")
  expected, described = tiny.params()
  expected["conditioning"] = {"embedding": np.zeros(6, np.float32)}
  jax.tree.map(np.testing.assert_array_equal, params, expected)
  assert record["training"] == {"converted_from": "pipeline", "condition": "zero"}
  # JSON has made lists of tuples, and that is all.
  assert record["model"] == json.loads(json.dumps(described))
  model = registry.build_model(record["model"], params, num_inference_steps=2)
  assert model.sample_rate == 16000
  assert model.schedule.num_train_timesteps == 1000


def test_half_precision_is_widened(pipeline, tmp_path):
  path = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
  half = {k: v.astype(np.float16) for k, v in load_file(path).items()}
  save_file(half, path)
  convert(pipeline, tmp_path / "model")
  params, _ = checkpoints.load_model(tmp_path / "model")
  bias = params["vae"]["encoder"]["conv_in"]["bias"]
  assert bias.dtype == np.float32
  np.testing.assert_array_equal(bias, half["encoder.conv_in.bias"])


def test_weights_in_several_files_are_those_of_one(pipeline, sharded, tmp_path):
  convert(pipeline, tmp_path / "model")
  params, _ = checkpoints.load_model(tmp_path / "model")
  expected, _ = tiny.params()
  jax.tree.map(np.testing.assert_array_equal, params["unet"], expected["unet"])


def test_a_variant_is_read_where_there_is_no_other(pipeline, tmp_path, monkeypatch):
  monkeypatch.setattr(conversion, "CACHE", str(tmp_path / "cache"))
  whole = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
  half = {k: v.astype(np.float16) for k, v in load_file(whole).items()}
  variant = whole.with_name("diffusion_pytorch_model.fp16.safetensors")
  save_file(half, variant)
  read = lambda: checkpoints.load_model(find_model(pipeline))[0]["vae"]
  bias = lambda: read()["encoder"]["conv_in"]["bias"]
  np.testing.assert_array_equal(bias(), load_file(whole)["encoder.conv_in.bias"])
  whole.unlink()
  np.testing.assert_array_equal(bias(), half["encoder.conv_in.bias"])
  # Another variant under the same name is another model.
  save_file({k: 2 * v for k, v in half.items()}, variant)
  np.testing.assert_array_equal(bias(), 2 * half["encoder.conv_in.bias"])


def test_audioldm_is_read_too(pipeline, edit, tmp_path):
  edit("model_index.json", _class_name="AudioLDMPipeline")
  convert(pipeline, tmp_path / "model")
  assert checkpoints.load_model(tmp_path / "model")[1]["model"]["family"] == "musicldm"


def test_an_embedding_from_a_file(pipeline, tmp_path):
  path = tmp_path / "embedding.npy"
  np.save(path, np.arange(6.0)[None])
  convert(pipeline, tmp_path / "model", embedding=path)
  params, record = checkpoints.load_model(tmp_path / "model")
  np.testing.assert_array_equal(params["conditioning"]["embedding"], np.arange(6))
  assert record["training"]["condition"] == {"embedding": "embedding.npy"}


def test_an_unconditional_pipeline_takes_no_embedding(pipeline, edit, tmp_path, refuse):
  path = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
  state = {k: v for k, v in load_file(path).items() if "class_embedding" not in k}
  for name, value in state.items():
    if name.endswith("time_emb_proj.weight"):
      state[name] = np.ascontiguousarray(value[:, :32])
  save_file(state, path)
  edit("unet/config.json", class_embed_type=None, class_embeddings_concat=False)
  np.save(tmp_path / "embedding.npy", np.zeros(6))
  refuse(pipeline, "unconditional", embedding=tmp_path / "embedding.npy")
  convert(pipeline, tmp_path / "model")
  params, record = checkpoints.load_model(tmp_path / "model")
  assert set(params) == {"unet", "vae", "vocoder"}
  assert registry.build_model(record["model"], params, 1).condition is None
