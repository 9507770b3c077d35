"""Working folders that a page cannot be made of."""

import functools
import json

import crossover
import numpy as np
import pytest

from lsaprobe_jax import text
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import summary
from lsaprobe_jax.report import html, page, reading, static, walk
from lsaprobe_jax.strict_json import rows_to_json


def flipped(data: bytes) -> bytes:
  middle = len(data) // 2
  return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


@pytest.mark.parametrize(
  "degradation", [flipped, lambda data: data[:200], lambda data: b""]
)
def test_a_damaged_recording_is_named(tmp_path, degradation):
  path = tmp_path / "clip.npz"
  np.savez_compressed(path, audio=np.arange(4000, dtype=np.int16))
  assert reading._load(path)["audio"].size == 4000
  path.write_bytes(degradation(path.read_bytes()))
  with pytest.raises(ValueError, match=r"clip\.npz: damaged .*--record again"):
    reading._load(path)


HOSTILE = "a\nb\x1b[31m\u202egpj\u2028\udce9"
SHOWN = "a\\nb\\x1b[31m\\u202egpj\\u2028\\udce9"

summarise = functools.partial(summary.summarise, resamples=20)


def study(folder, rows):
  folder.mkdir(exist_ok=True)
  lines = [json.dumps(row) + "\n" for row in rows]
  (folder / "main.jsonl").write_text("".join(lines))
  return folder


def evaluated(folder, rows):
  """A folder as launch.eval leaves it, without a model."""
  study(folder, rows).joinpath("main.jsonl").rename(folder / "scores.jsonl")
  (folder / "summary.json").write_text(rows_to_json(summarise(rows)))
  return folder


def hostile(text):
  names = ("clip", "track", "corpus")
  return [row | {name: row[name] + text for name in names} for row in crossover.rows()]


def test_hostile_names_are_shown_escaped_everywhere(tmp_path):
  results = reading.read(study(tmp_path / "s", hostile(HOSTILE)), summarise)
  built = page.build(results)
  assert built["corpus"] == "toy" + SHOWN
  assert all(clip["track"].endswith(SHOWN) for clip in built["clips"])
  write_whole(tmp_path / "page.html", html.render(built, walk.sounds(results)))
  found = (tmp_path / "page.html").read_text(encoding="utf-8")
  assert not {"\x1b", "\u202e", "\u2028", "\udce9"} & set(found)
  static.save_all(results, built, tmp_path / "figures")


def test_a_model_named_like_a_path_is_drawn_inside_the_folder(tmp_path):
  name = "x/../../../escaped"
  rows = [row | {"model": name} for row in crossover.rows() if row["model"] == "A"]
  results = reading.read(study(tmp_path / "s", rows), summarise)
  built = page.build(results)
  built["curves"] = [{"model": name, "tau": 1.0, "clips": []}]
  folder = tmp_path / "deep" / "er" / "figures"
  drawn = static.save_all(results, built, folder)
  assert any(path.name.startswith("curves-x-escaped-") for path in drawn)
  assert {path.resolve().parent for path in drawn} == {folder.resolve()}


def test_a_page_is_safe_whoever_built_it():
  """The last border: what was not read by `reading` is escaped as well."""
  built = {"corpus": HOSTILE, "clips": [{"title": HOSTILE, HOSTILE: 1}]}
  assert text.printable_leaves(built)["clips"][0] == {"title": SHOWN, SHOWN: 1}


@pytest.mark.parametrize(
  ("name", "content", "match"),
  [
    ("summary.json", "5", r"summary\.json: damaged .*a int, not a list"),
    ("summary.json", "[{}]", r"summary\.json: damaged \(record 0 has no corpus\)"),
    ("summary.json", "[5]", r"summary\.json: damaged"),
    ("summary.json", "[" * 10**5, r"summary\.json: damaged .*nested deeper"),
    ("run.json", "[]", r"run\.json: damaged"),
    ("environment.json", "5", r"environment\.json: damaged"),
    ("sets.json", "[]", r"sets\.json: damaged"),
    ("records/index.json", "null", r"index\.json: damaged"),
    ("records/index.json", "{}", r"KeyError: 'clips'.*run that command again"),
    ("records/index.json", '{"clips": 5}', r"TypeError"),
    ("records/index.json", '{"clips": [{"file": "../x"}]}', "is not in its folder"),
    ("scores.jsonl", "", "holds no rows"),
  ],
)
def test_a_damaged_file_of_an_evaluation_is_one_line(tmp_path, name, content, match):
  evaluated(tmp_path, crossover.rows())
  (tmp_path / "records").mkdir()
  (tmp_path / name).write_text(content)
  with pytest.raises(ValueError, match=match) as caught:
    reading.read(tmp_path, summarise)
  assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
  ("name", "content"), [("environment.json", [{}]), ("sets.json", {"sets": {"a": {}}})]
)
def test_what_a_template_does_not_find_is_one_line(tmp_path, name, content):
  folder = study(tmp_path / "s", crossover.rows())
  (folder / name).write_text(json.dumps(content))
  results = reading.read(folder, summarise)
  with pytest.raises(ValueError, match="does not hold what its command writes"):
    html.render(page.build(results), {})


def test_a_sweep_around_another_probe_is_refused(tmp_path):
  main, other = (
    reading.read(
      study(tmp_path / f"at {t}", crossover.rows("loss") + crossover.rows(t_ratio=t)),
      summarise,
    )
    for t in (0.1, 0.2)
  )
  with pytest.raises(
    ValueError, match=r"its lsa_probe is by .* at 0\.2 T where that of"
  ):
    reading.combine(main, other)


def test_records_that_lack_what_a_page_shows_are_one_line(tmp_path):
  rows = crossover.rows()
  records = [{**record, "auc": "high"} for record in summarise(rows)]
  evaluated(tmp_path, rows)
  (tmp_path / "summary.json").write_text(json.dumps(records))
  with pytest.raises(ValueError, match=r"the AUC of record 0 is no number"):
    reading.read(tmp_path, summarise)


def test_a_folder_that_loops_or_may_not_be_read_is_one_line(tmp_path, monkeypatch):
  (tmp_path / "loop").symlink_to(tmp_path / "loop")
  with pytest.raises((ValueError, OSError), match=r"no such folder|Too many levels"):
    reading.read(tmp_path / "loop", summarise)
