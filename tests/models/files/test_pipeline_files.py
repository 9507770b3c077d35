"""Which weights of a part of a pipeline are read, by the names of its files."""

import pytest

from lsaprobe_jax.models.files import pipeline_files


@pytest.mark.parametrize(
  ("files", "found"),
  [
    (["model.fp16.safetensors"], "fp16"),
    (["model.safetensors.index.fp16.json"], "fp16"),
    (["model.safetensors", "model.fp16.safetensors"], None),
    (["model.safetensors.index.json", "model.fp16.safetensors"], None),
    (["model.fp16.safetensors", "model.bf16.safetensors"], None),
    (["model.fp16.bin", "config.json"], None),
  ],
)
def test_a_variant_is_taken_where_it_is_the_only_one(tmp_path, files, found):
  for name in files:
    (tmp_path / name).touch()
  assert pipeline_files.variant(tmp_path, "model") == found
