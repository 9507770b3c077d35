"""A model folder that holds another model already."""

import numpy as np
import pytest

from lsaprobe_jax.models import checkpoints


def test_another_model_is_replaced_where_that_is_meant_alone(tmp_path):
  weights = lambda value: {"layer": {"kernel": np.full(3, value, np.float32)}}
  checkpoints.save_model(tmp_path, weights(0), {}, {})
  checkpoints.save_model(tmp_path, weights(1), {}, {})
  with pytest.raises(FileExistsError, match="it holds another model; name"):
    checkpoints.save_model(tmp_path, weights(2), {}, {}, replace=False)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    "model.json", "weights.safetensors"
  ]  # fmt: skip
  assert checkpoints.load_model(tmp_path)[0]["layer"]["kernel"].tolist() == [1, 1, 1]
  checkpoints.save_model(tmp_path, weights(1), {}, {"steps": 3}, replace=False)
  assert checkpoints.read_record(tmp_path)["training"] == {"steps": 3}
