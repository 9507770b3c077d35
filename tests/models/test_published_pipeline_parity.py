"""A Stable Audio pipeline of the published size but for its depth, converted.

Two of the transformer's 24 layers are there, at full width, and all of the autoencoder;
weights are random.
"""

import re
import subprocess
import sys

import jax
import pytest

from lsaprobe_jax.models import checkpoints, conversion, registry
from lsaprobe_jax.scoring import memory_estimate

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

LAYERS, SECONDS = 2, 2.0


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """The folder of a pipeline with nothing that a prompt would need."""
  folder = tmp_path_factory.mktemp("pipeline") / "saved"
  config = memory_estimate.read_config("stable-audio-open-1.0")
  made = {
    "transformer": (diffusers.StableAudioDiTModel, {"num_layers": LAYERS}),
    "vae": (diffusers.AutoencoderOobleck, {}),
    "projection_model": (
      diffusers.pipelines.stable_audio.StableAudioProjectionModel, {},
    ),
  }  # fmt: skip
  for part, (kind, changes) in made.items():
    given = {k: v for k, v in config[part].items() if not k.startswith("_")} | changes
    kind(**given).save_pretrained(folder / part, max_shard_size="200MB")
  scheduler = {k: v for k, v in config["scheduler"].items() if not k.startswith("_")}
  diffusers.CosineDPMSolverMultistepScheduler(**scheduler).save_pretrained(
    folder / "scheduler"
  )
  index = '{"_class_name": "StableAudioPipeline"}'
  (folder / "model_index.json").write_text(index)
  return folder


def test_it_converts_and_its_gradient_is_counted(saved, tmp_path):
  assert len(list((saved / "transformer").glob("*-of-*.safetensors"))) > 1
  conversion.convert(saved, tmp_path / "model")
  params, record = checkpoints.load_model(tmp_path / "model")
  abstract = registry.abstract_params(record["model"])
  shapes = lambda tree: jax.tree.map(lambda leaf: leaf.shape, tree)
  assert shapes(params) == shapes(abstract)
  # The published model is this one with more of the same blocks.
  whole = registry.abstract_params(memory_estimate.read_config("stable-audio-open-1.0"))
  stacked = lambda tree: tree["transformer"]["transformer_blocks"]
  per_block = lambda tree: jax.tree.map(lambda leaf: leaf.shape[1:], stacked(tree))
  assert per_block(params) == per_block(whole)
  assert {leaf.shape[0] for leaf in jax.tree.leaves(stacked(whole))} == {24}
  for part in ("vae", "projection_model"):
    assert shapes(params[part]) == shapes(whole[part])

  done = subprocess.run(
    [
      sys.executable, "-m", "launch.memory", f"--model={tmp_path / 'model'}",
      f"--seconds={SECONDS}", "--as_accelerator",
    ],
    check=True, capture_output=True, text=True,
  )  # fmt: skip
  row = re.split(r" *\| *", done.stdout.splitlines()[-1])[1:-1]
  weights, gradient = float(row[4]), float(row[5])
  count = sum(leaf.size for leaf in jax.tree.leaves(abstract))
  assert abs(weights - 4 * count / 2**30) < 0.01
  # The last block of the decoder has 128 channels at the full rate.
  assert gradient > 4 * 128 * SECONDS * 44_100 / 2**30
