import json

import numpy as np
import pytest

from lsaprobe_jax.results import RowFile


def row(clip, **more):
  identity = dict(model="A", corpus="c", method="m", distance=None, t_ratio=0.6, seed=0)
  return {"clip": clip, **identity, "score": 1.0} | more


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
