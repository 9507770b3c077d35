import concurrent.futures
import fcntl
import json

import numpy as np
import pytest

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.scoring import row_store
from lsaprobe_jax.scoring.row_store import RowFile
from lsaprobe_jax.scoring.shared_rows import ALONE, Shard, SharedRows
from lsaprobe_jax.strict_json import rows_to_json


def row(clip, **more):
  identity = dict(model="A", corpus="c", method="m", distance=None, t_ratio=0.6, seed=0)
  identity |= dict(track=clip, group="a", split="member", difficulty_calibration="none")
  figures = dict(score=1.0, cost=None, reached=None, seconds=0.0)
  figures |= dict(nfe_forward=1, nfe_backward=0)
  return {"clip": clip, **identity, **figures} | more


def test_rows_come_back(tmp_path):
  file = RowFile(tmp_path / "deep" / "rows.jsonl")
  file.append([row("x", score=np.float32(0.5), cost=float("nan")), row("y")])
  again = RowFile(tmp_path / "deep" / "rows.jsonl")
  assert again.rows == [row("x", score=0.5, cost=None), row("y")]
  assert row("x") in again
  assert row("x", model="B") not in again
  assert again.get(row("x"))["score"] == 0.5


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_line_cut_short_is_written_again_whole(tmp_path, cut):
  path = tmp_path / "rows.jsonl"
  RowFile(path).append([row("x"), row("y")])
  path.write_bytes(path.read_bytes()[:-cut])
  file = RowFile(path)
  assert [r["clip"] for r in file.rows] == ["x"]
  file.append([row("y")])
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert lines == [row("x"), row("y")]


def test_a_foreign_line_is_refused_and_kept(tmp_path):
  path = tmp_path / "rows.jsonl"
  path.write_text('{"clip": "x"}\n')
  with pytest.raises(ValueError, match="line 1"):
    RowFile(path)
  assert path.read_text() == '{"clip": "x"}\n'


def test_a_second_row_of_a_kind_is_refused(tmp_path):
  file = RowFile(tmp_path / "rows.jsonl")
  file.append([row("x")])
  with pytest.raises(ValueError, match="second row"):
    file.append([row("x", score=2.0)])
  assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1


CLIPS = [row(name) for name in "abcdefg"]


def score(file, seconds=0.0):
  """Scores a process's share of CLIPS; returns the clips it took."""
  mine = [CLIPS[i] for i in file.to_score(CLIPS)]
  file.append(r | {"seconds": seconds} for r in mine)
  return "".join(r["clip"] for r in mine)


def shares(folder, count):
  return [SharedRows(folder, "scores", Shard(k, count)) for k in range(count)]


def test_every_clip_is_in_one_share(tmp_path):
  files = shares(tmp_path, 3)
  assert [score(file) for file in files] == ["adg", "be", "cf"]
  names = sorted(path.name for path in (tmp_path / "shards").iterdir())
  assert names == [f"scores-{k:05d}-of-00003.jsonl" for k in range(3)]
  assert not (tmp_path / "scores.jsonl").exists()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_processes_scores_what_is_missing(tmp_path, count):
  score(shares(tmp_path, 3)[1])
  files = (
    shares(tmp_path, count) if count > 1 else [SharedRows(tmp_path, "scores", ALONE)]
  )
  assert sorted("".join(score(file) for file in files)) == sorted("acdfg")
  files[0].to_score(CLIPS)
  files[0].merge()
  merged = RowFile(tmp_path / "scores.jsonl").rows
  assert [r["clip"] for r in merged] == list("abcdefg")
  # What is merged is there for all.
  assert score(shares(tmp_path, 7)[3]) == ""


def test_a_process_knows_what_it_waits_for(tmp_path):
  first, second, third = shares(tmp_path, 3)
  score(first)
  assert first.missing_shards() == [1, 2]
  score(third)
  assert first.missing_shards() == [1]
  with concurrent.futures.ThreadPoolExecutor() as pool:
    waiting = pool.submit(first.wait, 0.01)
    with pytest.raises(TimeoutError):
      waiting.result(timeout=0.2)
    score(second)
    waiting.result(timeout=10)
  assert [r["clip"] for r in first.asked] == list("abcdefg")


def test_a_line_on_its_way_is_read_when_it_is_whole(tmp_path):
  first, second = shares(tmp_path, 2)
  score(first)
  score(second)
  path = tmp_path / "shards" / "scores-00001-of-00002.jsonl"
  whole = path.read_bytes()
  for cut in (len(whole) - 7, len(whole) // 2, 3):
    path.write_bytes(whole[:cut])
    reader = SharedRows(tmp_path, "scores", Shard(0, 2))
    reader.to_score(CLIPS)
    assert reader.missing_shards() == [1]
    path.write_bytes(whole)
    assert reader.missing_shards() == []
    assert len(reader.rows) == len(CLIPS)


def test_a_clip_without_a_score_keeps_no_one_waiting(tmp_path):
  first, second = shares(tmp_path, 2)
  score(first)
  mine = [CLIPS[i] for i in second.to_score(CLIPS)]
  second.append(mine[1:])
  assert first.missing_shards() == [1]
  second.leave_out([mine[0] | {"score": float("nan")}])
  assert first.missing_shards() == []
  first.merge()
  merged = RowFile(tmp_path / "scores.jsonl").rows
  assert [r["clip"] for r in merged] == list("acdefg")
  assert SharedRows(tmp_path, "scores", ALONE).to_score(CLIPS) == []


def test_a_score_counts_more_than_a_vain_attempt(tmp_path):
  two, four = shares(tmp_path, 2), shares(tmp_path, 4)
  mine = [CLIPS[i] for i in two[0].to_score(CLIPS)]
  two[0].leave_out([mine[0] | {"score": float("nan")}])
  path = tmp_path / "shards" / "scores-00003-of-00004.jsonl"
  path.write_text(json.dumps(mine[0]) + "\n")
  four[0].refresh()
  assert [r["score"] for r in four[0].rows] == [mine[0]["score"]]


def test_a_process_alone_leaves_its_file_as_it_came(tmp_path):
  file = SharedRows(tmp_path, "scores", ALONE)
  file.to_score(CLIPS)
  file.append(reversed(CLIPS))
  file.leave_out([row("z")])
  file.merge()
  assert [r["clip"] for r in RowFile(tmp_path / "scores.jsonl").rows] == list("gfedcba")
  assert [r["clip"] for r in file.asked] == list("abcdefg")


def test_rows_written_twice_are_merged_once(tmp_path):
  two, four = shares(tmp_path, 2), shares(tmp_path, 4)
  todo = {file: file.to_score(CLIPS) for file in (*two, *four)}
  for seconds, (file, positions) in enumerate(todo.items()):
    file.append(CLIPS[i] | {"seconds": seconds} for i in positions)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    list(pool.map(lambda file: (file.refresh(), file.merge()), todo))
  lines = (tmp_path / "scores.jsonl").read_text().splitlines()
  assert [json.loads(line)["clip"] for line in lines] == list("abcdefg")
  assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["scores.jsonl"]


def test_rows_not_asked_for_outlive_a_merge(tmp_path):
  first, second = shares(tmp_path, 2)
  second.append([row("x", method="other")])
  score(first)
  score(second)
  first.refresh()
  first.merge()
  clips = [r["clip"] for r in RowFile(tmp_path / "scores.jsonl").rows]
  assert clips == [*"abcdefg", "x"]


def test_json_holds_no_nan():
  rows = [row("x"), row("y", tpr_ci={"0.01": [0.0, 0.5]})]
  assert json.loads(rows_to_json(rows)) == rows
  rows[1]["tpr_ci"]["0.01"][1] = float("nan")
  with pytest.raises(ValueError, match=r"row 1, tpr_ci, 0.01\[1\] is nan"):
    rows_to_json(rows)


def test_a_disk_without_locks_is_written_to_with_a_warning(
  tmp_path, monkeypatch, caplog
):
  def refused(*_):
    raise OSError(95, "Operation not supported")

  monkeypatch.setattr(fcntl, "flock", refused)
  path = tmp_path / "rows.jsonl"
  with row_store.alone(path):
    RowFile(path).append([row("x")])
  assert f"{path} cannot be locked" in caplog.text
  assert len(RowFile(path).rows) == 1


def test_two_calls_do_not_score_into_one_file(tmp_path):
  path = tmp_path / "deep" / "rows.jsonl"
  with row_store.alone(path):
    match = r"^path=.*rows\.jsonl: another call scores"
    with pytest.raises(ArgumentError, match=match), row_store.alone(path):
      pass
    RowFile(path).append([row("x")])
  with row_store.alone(path):
    assert len(RowFile(path).rows) == 1
