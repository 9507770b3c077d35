"""Published checkpoints are converted when they are first named."""

import shutil
import sys

import jax
import numpy as np
import pytest
import tiny_musicldm as tiny
from safetensors.numpy import load_file, save_file

from lsaprobe_jax.models import checkpoints, conversion
from lsaprobe_jax.models.checkpoints import CheckpointError
from lsaprobe_jax.models.conversion import convert
from lsaprobe_jax.models.trained import load_model


@pytest.fixture
def hub(pipeline, monkeypatch):
  """A hub that has the pipeline under any name."""

  class Hub:
    @staticmethod
    def snapshot_download(name, allow_patterns):
      return str(pipeline)

  monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """Where models are kept that were converted when they were named."""
  folder = tmp_path / "cache" / "models"
  monkeypatch.setattr(conversion, "CACHE", str(folder))
  return folder


def test_a_hub_name_without_the_hubs_package(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  refuse_from = tmp_path / "x"
  with pytest.raises(CheckpointError, match="pip install huggingface_hub; or download"):
    convert("hf:ucsd-reach/musicldm", refuse_from)
  assert not refuse_from.exists()


def test_a_hub_name_without_a_network(tmp_path, monkeypatch):
  class Hub:
    @staticmethod
    def snapshot_download(name, allow_patterns):
      assert name == "ucsd-reach/musicldm"
      assert "vocoder/model.safetensors" in allow_patterns
      assert not any("text_encoder/m" in pattern for pattern in allow_patterns)
      raise ConnectionError("no route\nto host")

  monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
  with pytest.raises(CheckpointError, match=r"ConnectionError: no route\); download"):
    convert("hf:ucsd-reach/musicldm", tmp_path / "model")


@pytest.mark.usefixtures("hub")
def test_a_hub_name_is_fetched(tmp_path):
  convert("hf:ucsd-reach/musicldm", tmp_path / "model")
  record = checkpoints.load_model(tmp_path / "model")[1]
  assert record["training"]["converted_from"] == "ucsd-reach/musicldm"


@pytest.mark.parametrize("name", ["hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:/b"])
def test_what_is_no_hub_name_is_refused(name):
  with pytest.raises(CheckpointError, match="hub is hf:owner/name"):
    conversion.find_model(name)


@pytest.mark.parametrize(
  "name", ["stabilityai/stable-audio-open-1.0", "ucsd-reach/musicldm", "runs/model.v2"]
)
def test_only_hf_names_are_looked_up(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  asked = []

  class Hub:
    @staticmethod
    def snapshot_download(name, allow_patterns):
      asked.append(name)
      raise ConnectionError("no route")

  monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
  line = rf"for the Hugging Face hub write hf:{name}$"
  with pytest.raises(CheckpointError, match=f"no such file or folder; {line}"):
    convert(name, tmp_path / "model")
  with pytest.raises(CheckpointError, match=f"no model folder .*{line}"):
    conversion.find_model(name)
  assert not asked
  with pytest.raises(CheckpointError, match=f"hf:{name}: .*no route"):
    conversion.find_model(f"hf:{name}")
  assert asked == [name]


def test_a_pipeline_is_converted_once_when_named(pipeline, cache, monkeypatch):
  folder = conversion.find_model(str(pipeline))
  assert [folder] == list(cache.iterdir())
  params, record = checkpoints.load_model(folder)
  jax.tree.map(np.testing.assert_array_equal, params["unet"], tiny.params()[0]["unet"])
  assert record["training"] == {"converted_from": "pipeline", "condition": "zero"}
  with monkeypatch.context() as patch:
    patch.setattr(conversion, "_read", None)
    assert conversion.find_model(str(pipeline)) == folder
  path = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
  save_file({k: v + 1 for k, v in load_file(path).items()}, path)
  other = conversion.find_model(str(pipeline))
  assert other != folder
  assert checkpoints.load_model(other)[1] != record


@pytest.mark.usefixtures("hub")
def test_a_hub_name_is_loaded(cache):
  model = load_model("hf:ucsd-reach/musicldm", num_inference_steps=2)
  assert (model.name, model.sample_rate) == ("musicldm", 16000)
  assert model.model.num_inference_steps == 2
  assert (model.group, model.members, model.clip_seconds) == (None, None, None)
  (folder,) = cache.iterdir()
  assert folder.name.startswith("ucsd-reach-musicldm-")
  record = checkpoints.load_model(folder)[1]
  assert record["training"]["converted_from"] == "ucsd-reach/musicldm"


def test_what_cannot_be_converted_when_named_leaves_nothing(
  pipeline, cache, tmp_path, monkeypatch
):
  (pipeline / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 99)
  with pytest.raises(
    CheckpointError, match=r"/pipeline cannot be converted: .*vae/diffusion"
  ):
    conversion.find_model(str(pipeline))
  (tmp_path / "weights.pt").write_bytes(b"no archive")
  with pytest.raises(CheckpointError, match=r"weights\.pt cannot be conv"):
    conversion.find_model(str(tmp_path / "weights.pt"))
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  with pytest.raises(CheckpointError) as error:
    conversion.find_model("runs/mistyped")
  assert "no model folder runs/mistyped; embedded models: ace" in str(error.value)
  assert str(error.value).endswith("for the Hugging Face hub write hf:runs/mistyped")
  with pytest.raises(CheckpointError, match="pip install huggingface_hub"):
    conversion.find_model("hf:owner/name")
  assert not list(cache.glob("*"))


def test_a_cache_that_cannot_be_written_is_named(pipeline, cache):
  cache.parent.mkdir(exist_ok=True)
  cache.touch()
  with pytest.raises(CheckpointError, match=f"cannot be conv.*{cache}"):
    conversion.find_model(str(pipeline))


def test_variants_are_fetched_where_a_part_has_no_full_weights(
  pipeline, tmp_path, monkeypatch
):
  """What a hub holds is matched by patterns; full weights alone are fetched first."""
  whole = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
  whole.rename(whole.with_name("diffusion_pytorch_model.fp16.safetensors"))
  unread = pipeline / "unet" / "diffusion_pytorch_model.fp16.safetensors"
  unread.write_bytes(b"not read")
  fetched, asked = tmp_path / "fetched", []

  class Hub:
    @staticmethod
    def snapshot_download(name, allow_patterns):
      asked.append(name)
      for pattern in allow_patterns:
        for path in pipeline.glob(pattern):
          if path.is_file():
            copy = fetched / path.relative_to(pipeline)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
      return str(fetched)

  monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
  convert("hf:owner/name", tmp_path / "model")
  assert asked == ["owner/name"] * 2
  params, _ = checkpoints.load_model(tmp_path / "model")
  expected, _ = tiny.params()
  jax.tree.map(np.testing.assert_array_equal, params["vae"], expected["vae"])
