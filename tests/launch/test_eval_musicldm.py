"""launch.eval on a latent model's folder, in one process."""

import jax
import numpy as np
import pytest
from absl import app

from benchmarks import footprint
from configs import musicldm
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.musicldm import porting
from lsaprobe_jax.scoring import experiment

# As small as the architecture gets, for the sake of the compiler.
CONFIGS = {
  "unet": {
    "in_channels": 2, "out_channels": 2, "block_out_channels": [4, 4],
    "down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2,
    "layers_per_block": 1, "norm_num_groups": 2, "cross_attention_dim": 4,
    "attention_head_dim": 2, "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": 3, "class_embeddings_concat": True,
  },
  "vae": {
    "in_channels": 1, "out_channels": 1, "block_out_channels": [4, 4],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2, "latent_channels": 2,
    "layers_per_block": 1, "norm_num_groups": 2,
  },
  "vocoder": {
    "model_in_dim": 8, "sampling_rate": 8000, "upsample_initial_channel": 4,
    "upsample_rates": [8, 8], "upsample_kernel_sizes": [16, 16],
    "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]],
    "normalize_before": False,
  },
  "scheduler": {
    "_class_name": "DDIMScheduler", "beta_start": 0.0015, "beta_end": 0.0195,
    "beta_schedule": "scaled_linear", "clip_sample": False, "set_alpha_to_one": False,
  },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  model = porting.model_config(CONFIGS)
  params = registry.random_params(model, jax.random.key(0))
  folder = tmp_path_factory.mktemp("latent") / "model"
  checkpoints.save_model(folder, params, model, {})
  return folder


@pytest.fixture
def load(tmp_path, corpus_folder, folder):
  def load(**changes):
    config = musicldm.get_config()
    settings = {
      "targets.A": str(folder),
      "corpus.path": str(corpus_folder),
      "corpus.clip_seconds": 0.25,
      "num_inference_steps": 1,
      "search.continuation.rungs": 3,
      "search.continuation.steps": 1,
      "bootstrap_resamples": 20,
      "batch_size": 1,
    }
    config.update_from_flattened_dict(settings | changes)
    return experiment.load(config, tmp_path / "run", None)

  return load


def test_methods_score_a_latent_model(load):
  run = load()
  (target,) = run.targets
  # 2000 samples of hop 64: 32 frames, halved.
  assert target.model.samples == 2000
  rows = experiment.run_methods(run, ("loss", "lsa_probe"))
  scores = {
    method: [row["score"] for row in rows if row["method"] == method]
    for method in ("loss", "lsa_probe")
  }
  clips = len(run.halves) + len(run.development)
  for values in scores.values():
    assert len(values) == clips
    assert np.all(np.isfinite(values))
    assert len(set(values)) > clips // 2
  assert any(row["reached"] for row in rows if row["method"] == "lsa_probe")


def test_a_distance_may_be_taken_before_the_vocoder(load):
  run = load(stop_at="mel", distance="waveform")
  generator, audio = run.targets[0].model, run.halves.audio[0]
  decoded = jax.eval_shape(lambda a: generator.decode(generator.encode(a)), audio)
  assert decoded.shape == (32, 8)
  rows = experiment.run_baseline(run, "random_stability", experiment.make_distance(run))
  assert np.all([row["score"] < 0 for row in rows])


def test_a_waveforms_distance_is_refused_before_the_vocoder(load):
  with pytest.raises(app.UsageError, match=r"distance=mr_stft.*--config\.stop_at=mel"):
    load(stop_at="mel")


def test_bfloat16_is_refused(load):
  with pytest.raises(app.UsageError, match="a musicldm model runs in float32"):
    load(precision="bfloat16")


def test_memory_is_read_off_the_compiler():
  model = porting.model_config(CONFIGS)
  params = registry.abstract_params(model)
  analysis, seconds = footprint.measure(model, params, 0.25, 1, "waveform")
  # The UNet's, the decoder's and the vocoder's weights go in, the gradient comes out.
  size = lambda part: 4 * sum(leaf.size for leaf in jax.tree.leaves(params[part]))
  weights = size("unet") + size("vocoder")
  assert weights < analysis.argument_size_in_bytes < 2 * weights + size("vae")
  # The vocoder's last stage alone, forward and backward: 2048 samples, 1 channel.
  assert analysis.temp_size_in_bytes > 2 * 4 * 2048
  assert seconds > 0
