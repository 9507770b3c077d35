"""Where compiled programs are kept."""

import jax
import pytest

from lsaprobe_jax import compilation_cache


@pytest.fixture
def cache_folder(monkeypatch, tmp_path):
  """`cache_folder(folder)`: where compiled programs go, as JAX is told."""
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  before = jax.config.jax_compilation_cache_dir

  def find(folder=None):
    compilation_cache.keep_programs(folder)
    return jax.config.jax_compilation_cache_dir

  yield find
  jax.config.update("jax_compilation_cache_dir", before)


def test_compiled_programs_are_kept_by_the_kind_of_processor(
  cache_folder, monkeypatch, tmp_path
):
  kind = cache_folder(str(tmp_path)).removeprefix(f"{tmp_path}/")
  assert "-" in kind
  assert "/" not in kind
  home = tmp_path / "home" / ".cache" / "lsaprobe_jax" / "xla"
  assert cache_folder() == str(home / kind)
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "other"))
  assert cache_folder() == str(tmp_path / "other" / kind)
  assert cache_folder("") is None
