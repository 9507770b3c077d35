"""Working folders and flags that launchers share."""

import concurrent.futures
import json
import threading

import jax
import pytest
from absl import app, flags
from absl.testing import flagsaver

from launch import common, hosts
from lsaprobe_jax.scoring.shared_rows import ALONE, Shard


def claim_at_once(workdir, identities):
  """What each claim says, all made at the same time: None or the refusal."""
  together = threading.Barrier(len(identities))

  def claim(identity):
    together.wait()
    try:
      common.claim_workdir(workdir, identity)
    except app.UsageError as error:
      return str(error)

  with concurrent.futures.ThreadPoolExecutor(len(identities)) as pool:
    return list(pool.map(claim, identities))


def test_processes_claim_a_folder_for_the_same_at_once(tmp_path):
  for i in range(20):
    assert claim_at_once(tmp_path / str(i), [{"seed": i}] * 8) == [None] * 8
    assert json.loads((tmp_path / str(i) / "run.json").read_text()) == {"seed": i}
    assert [path.name for path in (tmp_path / str(i)).iterdir()] == ["run.json"]


def test_of_processes_that_differ_one_claims_the_folder(tmp_path):
  for i in range(20):
    said = claim_at_once(tmp_path / str(i), [{"seed": seed} for seed in range(8)])
    winner = json.loads((tmp_path / str(i) / "run.json").read_text())["seed"]
    assert said[winner] is None
    del said[winner]
    assert all("holds a run that differs in seed" in line for line in said)


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "a/b", "1/2/3", "0/0"])
def test_a_share_that_is_none_is_refused(text):
  with pytest.raises(app.UsageError, match=f"--shard={text}: must be K/N"):
    hosts.parse_shard(text)


def test_shares_count_from_zero():
  assert hosts.parse_shard("0/4") == Shard(0, 4)
  assert hosts.parse_shard("3/4") == Shard(3, 4)


@pytest.fixture
def parsed():
  """Flags as if a launcher had been called with none."""
  flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver():
    yield


@pytest.mark.parametrize(
  ("given", "match"),
  [
    (dict(shard="0/2", distributed=True), "--shard and --distributed exclude"),
    (dict(process_id=1), "--process_id: need --distributed"),
    (dict(shard="2/2"), "--shard=2/2: must be K/N"),
  ],
)
def test_contradictory_flags_are_named(parsed, given, match):
  with flagsaver.flagsaver(**given), pytest.raises(app.UsageError, match=match):
    hosts.join()


def test_without_flags_a_process_is_alone(parsed):
  assert hosts.join() == ALONE
  with flagsaver.flagsaver(shard="1/3"):
    assert hosts.join() == Shard(1, 3)


@pytest.fixture
def cache_folder(monkeypatch, tmp_path, parsed):
  """`cache_folder(flag)`: where compiled programs go, as JAX is told."""
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  before = jax.config.jax_compilation_cache_dir

  def find(value):
    with flagsaver.flagsaver(compilation_cache=value):
      common.use_compilation_cache()
    return jax.config.jax_compilation_cache_dir

  yield find
  jax.config.update("jax_compilation_cache_dir", before)


def test_compiled_programs_are_kept_by_the_kind_of_processor(
  cache_folder, monkeypatch, tmp_path
):
  kind = common._processor()
  home = tmp_path / "home" / ".cache" / "lsaprobe_jax" / "xla"
  assert cache_folder(None) == str(home / kind)
  assert cache_folder(str(tmp_path)) == str(tmp_path / kind)
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "other"))
  assert cache_folder(None) == str(tmp_path / "other" / kind)
  assert cache_folder("") is None
