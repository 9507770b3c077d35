"""What a row of results must be, for every reader and writer alike."""

import json
import math

import numpy as np
import pytest
from crossover import rows

from lsaprobe_jax import strict_json
from lsaprobe_jax.metrics import study
from lsaprobe_jax.report import reading
from lsaprobe_jax.rows import RowError, failed_row
from lsaprobe_jax.scoring.row_store import RowFile, read_rows
from lsaprobe_jax.scoring.shared_rows import Shard, SharedRows

GOOD = rows()[0]
CURVE = {
  "method": "degradation_curve",
  "budgets": [0.1, 0.2],
  "degradations": [1.0, 2.0],
}


def without(name):
  return {key: value for key, value in GOOD.items() if key != name}


def line(row):
  """JSON as Python writes it where nobody forbids NaN."""
  return json.dumps(row).encode() + b"\n"


# What stands in a line -> what is said of it.
BAD_LINES = [
  (line(without("score")), "has no score"),
  (line(without("split")), "has no split"),
  (line(without("track")), "has no track"),
  (line(without("reached")), "has no reached"),
  (line(GOOD | {"score": "0.5"}), "score is '0.5'"),
  (line(GOOD | {"score": True}), "score is True"),
  (line(GOOD | {"score": math.nan}), "holds NaN"),
  (line(GOOD | {"score": -math.inf}), "holds -Infinity"),
  (line(GOOD).replace(b'"cost": null', b'"cost": 1e999'), "too large"),
  (line(GOOD | {"score": 10**400}), "score is 1000"),
  (line(GOOD | {"split": "members"}), "split is 'members'"),
  (line(GOOD | {"seed": -1}), "seed is -1"),
  (line(GOOD | {"seed": 0.5}), "seed is 0.5"),
  (line(GOOD | {"clip": ["x"]}), "clip is"),
  (line(GOOD | {"difficulty_calibration": "no"}), "difficulty_calibration is 'no'"),
  (line(GOOD | {"t_ratio": 7}), "t_ratio is 7"),
  (line(GOOD | {"nfe_forward": "many"}), "nfe_forward is 'many'"),
  (line(GOOD | {"tau": 0.0}), "tau is 0.0"),
  (line(GOOD | {"log_snr": None}), "log_snr is None"),
  (line(GOOD | {"log_snr": 1.0, "t_ratio": None}), "log_snr of no t_ratio"),
  (line(GOOD | {"norms": [1.0, None]}), "norms is"),
  (line(GOOD | {"norms": {"a": 1}}), "norms is"),
  (line(GOOD | {"budgets": [0.1], "degradations": [1.0, 2.0]}), "a value each"),
  (line(GOOD | {"budgets": [0.1]}), "without the other"),
  (line(GOOD | {"budgets": [None], "degradations": [None]}), "D is not finite"),
  (line(GOOD | {"budgets": [0.1, 0.2], "degradations": [0.0, 0.0]}), "D is 0 at every"),
  (line(GOOD | CURVE | {"degradations": [None, 1.0]}), "a value each"),
  (line(GOOD | {"method": "degradation_curve"}), "no budgets"),
  (line(GOOD).replace(b'"seed"', b'"score": 9.0, "seed"'), "'score' is there twice"),
  (b"[" * 100_000 + b"]" * 100_000 + b"\n", "nested deeper"),
  (b'{"clip": ' + b"[" * 80 + b"]" * 80 + b"}\n", "nested deeper"),
  (line(GOOD).replace(b"toy", b"caf\xe9"), "not UTF-8"),
  (b"5\n", "a int where an object"),
  (b"\n", "no JSON"),
  (line(GOOD) + line(GOOD), "a second row"),
]


@pytest.mark.parametrize(("data", "match"), BAD_LINES)
def test_every_reader_names_file_line_and_mend(tmp_path, data, match):
  """In the second line; after it another, so that none is taken for half a row."""
  others = [GOOD | {"clip": clip} for clip in ("before", "after")]
  data = line(others[0]) + data + line(others[1])
  for name in ("scores.jsonl", "main.jsonl"):
    (tmp_path / name).write_bytes(data)
  path = tmp_path / "scores.jsonl"
  readers = (
    lambda: RowFile(path),
    lambda: SharedRows(tmp_path, "scores", Shard(0, 2)),
    lambda: read_rows(path),
    lambda: study.read(tmp_path),
    lambda: reading.read(tmp_path, None),
  )
  for read in readers:
    with pytest.raises(
      ValueError, match=r"\.jsonl: line [23] is not a result row"
    ) as e:
      read()
    assert match in str(e.value)
    assert str(e.value).endswith("; mend or remove it")
    assert len(str(e.value).splitlines()) == 1
  assert path.read_bytes() == data


def test_a_row_tried_in_vain_is_read_and_is_no_result(tmp_path):
  path = tmp_path / "scores.jsonl"
  tried = {key: GOOD[key] for key in failed_row(GOOD)} | {"score": None}
  path.write_bytes(line(tried) + line(GOOD | {"clip": "other"}))
  assert RowFile(path).get(GOOD) is None
  assert GOOD in RowFile(path)
  assert [row["clip"] for row in read_rows(path)] == ["other"]
  (tmp_path / "main.jsonl").write_bytes(path.read_bytes())
  assert [row["clip"] for row in study.read(tmp_path)["main"]] == ["other"]


@pytest.mark.parametrize(
  "change",
  [
    {"score": math.nan},
    {"score": math.inf},
    {"score": np.float32("nan")},
    {"cost": math.inf},
    {"tau": math.nan},
    {"margin": math.nan},
    {"budgets": [0.1, 0.2], "degradations": [1.0, math.inf]},
    {"budgets": [0.1, 0.2], "degradations": [1.0, math.nan]},
    {"budgets": [0.1, 0.2], "degradations": [math.nan] * 2},
    {"nfe_forward": -1},
  ],
)
def test_what_is_not_finite_is_never_written(tmp_path, change, caplog):
  path = tmp_path / "rows.jsonl"
  with pytest.raises(RowError, match=rf"rows\.jsonl: {GOOD['clip']}: "):
    RowFile(path).append([GOOD | {"clip": "good"}, GOOD | change][1:])
  assert not path.exists()
  file = RowFile(path)
  file.keep([GOOD | change, GOOD | {"clip": "x\ny"} | change, GOOD | {"clip": "good"}])
  assert [row["clip"] for row in file.rows] == ["good"]
  assert "left out" in caplog.text
  assert "x\\ny: " in caplog.text


def test_figures_of_every_method_are_rows(tmp_path):
  """Null where a search has not tried a budget, and where there is no cost."""
  made = [
    GOOD | {"cost": math.nan, "reached": False, "margin": -1.0, "tau": 0.5},
    GOOD | CURVE,
    GOOD | {"method": "p", "budgets": [0.1, math.nan], "degradations": [1.0, math.nan]},
    GOOD | {"method": "g", "norms": [1.0, 2.0], "gain": np.float32(3e38)},
  ]
  RowFile(tmp_path / "rows.jsonl").append(made)
  again = RowFile(tmp_path / "rows.jsonl").rows
  assert again[0]["cost"] is None
  assert again[2]["degradations"] == [1.0, None]
  assert [row["method"] for row in again] == [
    "lsa_probe",
    "degradation_curve",
    "p",
    "g",
  ]


def test_a_link_in_the_place_of_rows_is_not_followed(tmp_path):
  aim = tmp_path / "aim"
  aim.write_bytes(b"half a line of another file")
  path = tmp_path / "rows.jsonl"
  path.symlink_to(aim)
  with pytest.raises(OSError, match=r"is a link, which is not followed; delete it"):
    RowFile(path)
  path.unlink()
  file = RowFile(path)
  path.symlink_to(aim)
  with pytest.raises(OSError, match="is a link"):
    file.append([GOOD])
  assert aim.read_bytes() == b"half a line of another file"


def test_a_file_of_another_kind_is_named(tmp_path):
  path = tmp_path / "environment.json"
  for text, match in (
    ("5", "holds a int, not a list"),
    ("[5]", "other things than objects"),
    ("[{}", "no JSON"),
    ('[{"a": NaN}]', "holds NaN"),
    ("[" * 10**5, "nested deeper"),
  ):
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"environment\.json: damaged .*{match}"):
      strict_json.read(path, list)
  path.write_text('[{"a": [1.5, null, "x"]}]')
  assert strict_json.read(path, list) == [{"a": [1.5, None, "x"]}]


def test_an_ablation_says_at_which_value(tmp_path):
  for name in ("main", "draws"):
    (tmp_path / f"{name}.jsonl").write_bytes(line(GOOD))
  parts = study.read(tmp_path)
  with pytest.raises(ValueError, match=r"draws\.jsonl: .*says under no `value`"):
    study.check_ablations(parts)
  study.check_ablations(parts | {"draws": [GOOD | {"value": 1}]})
