"""A tiny pipeline as diffusers saves one, and ways to change and to refuse it."""

import json

import pytest
import tiny_musicldm as tiny

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
