"""A tiny pipeline as diffusers saves one, and ways to change and to refuse it."""

import json

import pytest
import tiny_musicldm as tiny
from safetensors.numpy import load_file, save_file

from lsaprobe_jax.models.checkpoints import CheckpointError
from lsaprobe_jax.models.conversion import convert


@pytest.fixture
def pipeline(tmp_path):
  return tiny.save_pipeline(tmp_path / "pipeline")


@pytest.fixture
def edit(pipeline):
  """Changes a JSON file of the pipeline."""

  def edit(name, **changes):
    path = pipeline / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

  return edit


@pytest.fixture
def refuse(tmp_path):
  """`refuse(source, match, **condition)`: the line, and nothing is written."""

  def refuse(source, match, **condition):
    output = tmp_path / "model"
    with pytest.raises(CheckpointError, match=match) as caught:
      convert(source, output, **condition)
    assert str(caught.value).startswith(f"{source}: ")
    assert not output.exists()
    return str(caught.value)

  return refuse


@pytest.fixture
def sharded(pipeline):
  """The folder of a UNet in two files, and what their index says."""
  unet, stem = pipeline / "unet", "diffusion_pytorch_model"
  whole = load_file(unet / f"{stem}.safetensors")
  (unet / f"{stem}.safetensors").unlink()
  names, where = sorted(whole), {}
  for i, own in enumerate((names[:9], names[9:]), start=1):
    file = f"{stem}-{i:05d}-of-00002.safetensors"
    save_file({name: whole[name] for name in own}, unet / file)
    where |= dict.fromkeys(own, file)
  (unet / f"{stem}.safetensors.index.json").write_text(
    json.dumps({"weight_map": where})
  )
  return unet, where
