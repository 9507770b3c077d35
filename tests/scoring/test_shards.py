"""An evaluation by several shares: what each leaves, and what the last one finds."""

import concurrent.futures
import shutil

import pytest
from shared_folders import assert_like_one, kinds_by_share
from stored_rows import read_rows
from tiny_experiment import PAPERS

from lsaprobe_jax.scoring.evaluate import evaluate
from lsaprobe_jax.scoring.row_store import MissingRows
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.scoring.shared_rows import Shard

METHODS = ("loss", "lsa_probe")


@pytest.fixture(scope="module")
def short(settings):
  """Two methods of the experiment."""
  return settings.changed({"methods": METHODS})


@pytest.fixture(scope="module")
def alone(tmp_path_factory, short):
  """The folder of one that is alone."""
  folder = tmp_path_factory.mktemp("alone")
  evaluate(short, folder)
  return folder


@pytest.fixture(scope="module")
def second(tmp_path_factory, short):
  """A folder in which the second of two shares is done."""
  folder = tmp_path_factory.mktemp("shared")
  with pytest.raises(MissingRows, match=r"rows of shards \[0\] of 2 are missing"):
    evaluate(short, folder, shard=Shard(1, 2))
  return folder


def test_a_share_leaves_its_own_rows_and_no_summary(second):
  assert {path.name for path in second.iterdir()} == {
    "run.json", "shards", "alone.lock", "share-1-of-2.lock"
  }  # fmt: skip
  (name, mine), *others = kinds_by_share(second, "curves").items()
  assert name == "curves-00001-of-00002.jsonl"
  assert mine
  assert not others


@pytest.mark.parametrize("shard", [Shard(0, 2), Shard()])
def test_the_last_share_or_one_alone_completes_it(
  second, alone, short, tmp_path, shard
):
  folder = shutil.copytree(second, tmp_path / "completed")
  before = {path: path.read_bytes() for path in (folder / "shards").iterdir()}
  said = []
  evaluate(short, folder, shard=shard, progress=said.append)
  # One of several says nothing on the way, as its rows are not all.
  assert bool(said) == (shard.count == 1)
  assert_like_one(folder, alone)
  assert before == {path: path.read_bytes() for path in before}
  if shard.count == 2:
    kinds = kinds_by_share(folder, "curves")
    assert not set.intersection(*kinds.values())
    assert len(set.union(*kinds.values())) == len(read_rows(folder / "curves.jsonl"))


def test_shares_of_the_papers_search_wait_for_each_others_tau(short, tmp_path):
  """It has to know tau before it starts, and tau depends on rows of all shares."""
  values = short.changed(
    PAPERS | {"methods": ("lsa_probe",), "distance": "waveform"}
  ).to_dict()
  papers = Experiment.from_dict(values | {"targets": {"A": values["targets"]["A"]}})
  evaluate(papers, tmp_path / "one", limit=2)

  def share(index):
    try:
      return evaluate(papers, tmp_path / "two", limit=2, shard=Shard(index, 2))
    except MissingRows:
      return None

  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    results = list(pool.map(share, range(2)))
  assert any(results)
  assert_like_one(tmp_path / "two", tmp_path / "one")
  for name in ("scores", "calibration"):
    kinds = kinds_by_share(tmp_path / "two", name)
    assert list(kinds) == [f"{name}-{k:05d}-of-00002.jsonl" for k in range(2)]
    assert all(kinds.values())
    rows = len(read_rows(tmp_path / "two" / f"{name}.jsonl"))
    assert sum(map(len, kinds.values())) == len(set.union(*kinds.values())) == rows
