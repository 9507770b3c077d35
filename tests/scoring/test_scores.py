"""Scores of clips under one model: in memory, in a file, refused, compared."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_tracks
import toy_corpus
import toy_model
from flax import struct
from stored_rows import read_rows, untimed

from lsaprobe_jax import attacks, distances
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics import difficulty, summary
from lsaprobe_jax.models import registry
from lsaprobe_jax.rows import RowError
from lsaprobe_jax.scoring import row_store
from lsaprobe_jax.scoring.method import LSAProbe
from lsaprobe_jax.scoring.scores import Scores, score

LOSS = attacks.get("loss", None, draws=1)
PROBE = LSAProbe(
  distance="waveform",
  t_ratio=0.2,
  search=searches.get("continuation", eta_max=0.8, rungs=3, steps=1),
  tau=0.01,
)
MODEL = toy_model.model()
CLIPS = toy_corpus.noise("aaaabbbb")


class Loudness(struct.PyTreeNode):
  """An attack of one's own, without a score for silence."""

  floor: float = 0.0

  def __call__(self, model, key, audio, t) -> Outcome:
    level = jnp.mean(jnp.square(audio))
    level = jnp.where(level > self.floor, level, jnp.nan)
    return Outcome(score=level, nfe_forward=0 * t, nfe_backward=0 * t)


class Halved(struct.PyTreeNode):
  """A distance of one's own: half of the mean square."""

  name = "halved"

  @classmethod
  def create(cls, *, sample_rate):
    del sample_rate
    return cls()

  def embed(self, audio):
    return audio

  def compare(self, reference, estimate):
    return jnp.mean(jnp.square(reference - estimate)) / 2

  def __call__(self, reference, estimate):
    return self.compare(self.embed(reference), self.embed(estimate))


@pytest.fixture(scope="module")
def by_loss():
  return score(MODEL, LOSS, CLIPS, t_ratio=0.4)


@pytest.mark.parametrize("method", [PROBE, LOSS], ids=["probe", "loss"])
def test_a_file_holds_the_rows_of_memory_and_is_gone_on_with(tmp_path, method):
  t_ratio = None if method is PROBE else 0.4
  in_memory = score(MODEL, method, CLIPS, t_ratio=t_ratio)
  path = tmp_path / "deep" / "rows.jsonl"
  stored = score(MODEL, method, CLIPS, t_ratio=t_ratio, path=path)
  # In a file each says what made it besides.
  assert all(len(row["made_by"]) == 16 for row in stored.rows)
  plain = [{k: v for k, v in row.items() if k != "made_by"} for row in stored.rows]
  assert untimed(in_memory.to_rows()) == untimed(plain)
  assert stored.to_rows() == read_rows(path)
  # A kill took the last rows, and half of one.
  lines = path.read_text().splitlines(keepends=True)
  path.write_text("".join(lines[:3]) + lines[3][:40])
  again = score(MODEL, method, CLIPS, t_ratio=t_ratio, path=path)
  assert again.rows[:3] == stored.rows[:3]
  assert untimed(again.rows) == untimed(stored.rows) == untimed(read_rows(path))
  whole = path.read_bytes()
  assert score(MODEL, method, CLIPS, t_ratio=t_ratio, path=path) == again
  assert path.read_bytes() == whole
  again.save(tmp_path / "saved.jsonl")
  assert (tmp_path / "saved.jsonl").read_bytes() == whole


def test_columns_are_arrays_and_the_whole_is_a_line():
  scores = score(MODEL, PROBE, CLIPS)
  assert repr(scores) == "Scores(8 clips by lsa_probe under A)"
  assert len(scores) == 8
  assert scores.clips == [clip.id for clip in CLIPS.clips]
  rows = scores.to_rows()
  np.testing.assert_array_equal(scores.score, [row["score"] for row in rows])
  assert scores.reached.dtype == bool
  np.testing.assert_array_equal(np.isnan(scores.cost), ~scores.reached)
  assert scores.reached.sum() > 0
  assert {row["distance"] for row in rows} == {"waveform"}
  assert {row["t_ratio"] for row in rows} == {0.2}
  nfe = [row["nfe_forward"] + row["nfe_backward"] for row in rows]
  np.testing.assert_array_equal(scores.nfe, nfe)


def test_a_method_without_a_search_has_no_cost(by_loss):
  assert np.isnan(by_loss.cost).all()
  assert not by_loss.reached.any()
  np.testing.assert_array_equal(by_loss.nfe, 1)


def test_scores_depend_on_the_seed_alone(by_loss):
  same = score(MODEL, LOSS, CLIPS.take([5, 2]), t_ratio=0.4)
  np.testing.assert_array_equal(same.score, by_loss.score[[5, 2]])
  other = score(MODEL, LOSS, CLIPS, t_ratio=0.4, seed=1)
  assert (other.score != by_loss.score).all()


def test_scores_hardly_depend_on_the_size_of_a_batch():
  """Programs compiled for another batch round otherwise."""
  one, all_at_once = (score(MODEL, PROBE, CLIPS, batch_size=size) for size in (1, 8))
  np.testing.assert_allclose(one.score, all_at_once.score, rtol=1e-4)


def test_auc_is_that_of_the_metrics(by_loss):
  found = by_loss.auc()
  members, others = by_loss.score[:4], by_loss.score[4:]
  above = np.mean(members[:, None] > others[None])
  assert found.value == pytest.approx(above)
  (record,) = (
    record
    for record in summary.summarise(by_loss.to_rows(), resamples=10)
    if record["model"] == "A"
  )
  assert tuple(found) == (record["auc"], *record["auc_ci"])
  assert found.low <= found.value <= found.high
  assert str(found) == f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
  # Evaluations keep this name for a control; here it is one like any other.
  control = dataclasses.replace(MODEL, name="reference")
  assert score(control, LOSS, CLIPS, t_ratio=0.4).auc() == found


def test_members_are_the_tracks_that_are_named(by_loss):
  named = score(MODEL, LOSS, CLIPS, t_ratio=0.4, members=["b-track2", "b-track3"])
  splits = [row["split"] for row in named.rows]
  assert splits == ["nonmember"] * 4 + ["member"] * 4
  assert [row["split"] for row in by_loss.rows] == splits[::-1]
  np.testing.assert_array_equal(named.score, by_loss.score)
  assert named.auc().value == pytest.approx(1 - by_loss.auc().value)
  one = score(MODEL, LOSS, CLIPS, t_ratio=0.4, members="a-track0")
  assert [row["split"] for row in one.rows].count("member") == 2
  with pytest.raises(ArgumentError, match=r"^members: there is no track 'c' among"):
    score(MODEL, LOSS, CLIPS, t_ratio=0.4, members=["a-track0", "c"])


def test_an_auc_needs_both_sides():
  scores = score(MODEL, LOSS, CLIPS.take(range(4)), t_ratio=0.4)
  with pytest.raises(ArgumentError, match=r"^clips: an AUC needs members and non-memb"):
    scores.auc()


def test_an_auc_needs_tracks_for_its_interval():
  scores = score(MODEL, LOSS, CLIPS.take([0, 4]), t_ratio=0.4)
  with pytest.raises(ArgumentError, match=r"^clips: 2 tracks are too few for an inter"):
    scores.auc()


def test_difficulty_is_calibrated_by_a_reference_model(by_loss):
  reference = score(toy_model.model("other", seed=1), LOSS, CLIPS, t_ratio=0.4)
  found = by_loss.by_reference(reference)
  # Losses are magnitudes: what counts is the ratio of two.
  ratio = np.log(reference.score / by_loss.score)
  np.testing.assert_allclose(found.score, ratio, rtol=1e-6, atol=1e-9)
  renamed = [dict(row, model="reference") for row in reference.rows]
  assert found.to_rows() == difficulty.by_reference([*by_loss.rows, *renamed])
  np.testing.assert_array_equal(found.nfe, 2)
  assert {row["difficulty_calibration"] for row in found.rows} == {"reference"}
  assert 0 <= found.auc().low <= found.auc().high <= 1
  elsewhere = score(toy_model.model("other"), LOSS, CLIPS, t_ratio=0.2)
  with pytest.raises(ArgumentError, match=r"^reference: it scores none of these clips"):
    by_loss.by_reference(elsewhere)
  other = score(toy_model.model("other"), LOSS, CLIPS, t_ratio=0.4, seed=1)
  with pytest.raises(
    ArgumentError, match=r"^reference: scored with seed 1 where these"
  ):
    by_loss.by_reference(other)


@pytest.mark.parametrize(
  ("method", "clips", "match"),
  [
    (
      PROBE,
      toy_corpus.noise("ab", rate=16000),
      r"^clips: they have 16000 Hz and.*8000",
    ),
    (dataclasses.replace(PROBE, tau=None), CLIPS, r"^method: tau of .* calibrate_tau"),
    (LOSS, CLIPS, r"^t_ratio: loss needs one, such as t_ratio=0\.4"),
    (Loudness(), CLIPS, r"^t_ratio: loudness needs one"),
  ],
)
def test_what_cannot_be_scored_is_named(method, clips, match):
  with pytest.raises(ArgumentError, match=match):
    score(MODEL, method, clips)


def test_a_time_that_the_schedule_does_not_have_is_refused():
  with pytest.raises(ValueError, match=r"t_ratio=1\.5"):
    score(MODEL, LOSS, CLIPS, t_ratio=1.5)


def test_a_file_of_something_else_is_refused_and_kept(tmp_path):
  path = tmp_path / "rows.jsonl"
  path.write_text('{"clip": "x"}\n')
  with pytest.raises(RowError, match=r"rows\.jsonl: line 1 is not a result row"):
    score(MODEL, LOSS, CLIPS, t_ratio=0.4, path=path)
  assert path.read_text() == '{"clip": "x"}\n'


def test_rows_that_another_call_made_are_refused(tmp_path):
  """They would be taken for this one's: a row does not say all of its settings."""
  path = tmp_path / "rows.jsonl"
  score(MODEL, PROBE, CLIPS, path=path)
  before = path.read_bytes()
  other = dataclasses.replace(PROBE, tau=0.02)
  with pytest.raises(ArgumentError, match=r"^path=.*rows at tau 0\.01, not 0\.02"):
    score(MODEL, other, CLIPS, path=path)
  with pytest.raises(
    ArgumentError, match=r"^path=.*a0 is a member there and now a non"
  ):
    score(MODEL, PROBE, CLIPS, path=path, members=["b-track2"])
  assert path.read_bytes() == before
  # Those at another time or under another seed stand beside them.
  score(MODEL, dataclasses.replace(other, t_ratio=0.4), CLIPS, path=path)
  assert len(read_rows(path)) == 16


@pytest.mark.parametrize("what", ["weights", "setting", "steps", "samples"])
def test_rows_that_something_else_made_under_the_same_names_are_refused(tmp_path, what):
  path = tmp_path / "rows.jsonl"
  score(MODEL, LOSS, CLIPS, t_ratio=0.4, path=path)
  before = path.read_bytes()
  other, method, clips = MODEL, LOSS, CLIPS
  if what == "weights":
    other = toy_model.model(seed=1)
  elif what == "steps":
    other = dataclasses.replace(MODEL, model=MODEL.model.replace(num_inference_steps=2))
  elif what == "setting":
    method = attacks.get("loss", None, draws=2)
  else:
    changed = dataclasses.replace(CLIPS.clips[5], sha256="0" * 64)
    kept = (*CLIPS.clips[:5], changed, *CLIPS.clips[6:])
    clips = dataclasses.replace(CLIPS, clips=kept)
  with pytest.raises(ArgumentError, match=r"^path=.*by other weights or settings"):
    score(other, method, clips, t_ratio=0.4, path=path)
  assert path.read_bytes() == before
  # Rows of versions that did not say so are gone on from.
  rows = [{k: v for k, v in row.items() if k != "made_by"} for row in read_rows(path)]
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  assert len(score(other, method, clips, t_ratio=0.4, path=path)) == 8


def test_rows_of_a_part_of_the_clips_are_refused(tmp_path):
  """A network on waveforms is the same at all lengths, and so are the clips' hashes."""
  weights = tiny_tracks.tiny_weights(tiny_tracks.MODEL, 0)
  built = registry.build_model(tiny_tracks.MODEL, weights, 1)
  model = dataclasses.replace(MODEL, model=built)
  path = tmp_path / "rows.jsonl"
  half = CLIPS.head(CLIPS.clip_seconds / 2)
  score(model, LOSS, half, t_ratio=0.4, path=path)
  with pytest.raises(ArgumentError, match=r"^path=.*by other weights or settings"):
    score(model, LOSS, CLIPS, t_ratio=0.4, path=path)
  assert len(score(model, LOSS, half, t_ratio=0.4, path=path)) == len(CLIPS)


def test_an_attack_of_ones_own_and_a_clip_without_a_score(tmp_path, caplog):
  audio = np.array(CLIPS.audio)
  audio[2] = 0
  clips = dataclasses.replace(CLIPS, audio=audio)
  path = tmp_path / "rows.jsonl"
  scores = score(MODEL, Loudness(), clips, t_ratio=0.1, path=path)
  assert scores.failed == ("a2",)
  assert repr(scores) == "Scores(7 clips by loudness under A, 1 failed)"
  assert "a2: score is nan" in caplog.text
  loud = [np.mean(np.square(clip)) for i, clip in enumerate(audio) if i != 2]
  np.testing.assert_allclose(scores.score, loud, rtol=1e-5)
  assert {row["distance"] for row in scores.rows} == {None}
  assert json.loads(path.read_text().splitlines()[0])["method"] == "loudness"


@pytest.mark.parametrize("name", [None, "rms"])
def test_a_method_is_called_by_its_own_name(name):
  method = Loudness()
  if name:
    method = type("Named", (Loudness,), {"name": name})()
  rows = score(MODEL, method, CLIPS.take([0]), t_ratio=0.1).rows
  assert rows[0]["method"] == (name or "loudness")


@pytest.mark.parametrize("name", ["sima", "rediffuse", "loss"])
def test_a_baseline_is_called_as_it_is_got(name):
  rows = score(MODEL, attacks.get(name), CLIPS.take([0]), t_ratio=0.2).rows
  assert rows[0]["method"] == name


def test_a_distance_of_ones_own():
  """Half the distance at half of tau costs the same."""
  own = dataclasses.replace(PROBE, distance=Halved(), tau=PROBE.tau / 2)
  scores, usual = score(MODEL, own, CLIPS), score(MODEL, PROBE, CLIPS)
  np.testing.assert_allclose(scores.score, usual.score, rtol=1e-4)
  assert {row["distance"] for row in scores.rows} == {"halved"}
  by_object = dataclasses.replace(PROBE, distance=distances.Waveform())
  assert untimed(score(MODEL, by_object, CLIPS).rows) == untimed(usual.rows)


def test_two_calls_do_not_score_into_one_file(tmp_path):
  path = tmp_path / "rows.jsonl"
  with row_store.alone(path):
    with pytest.raises(ArgumentError, match=r"^path=.*another call scores into it"):
      score(MODEL, LOSS, CLIPS, t_ratio=0.4, path=path)
    assert not path.read_bytes()
  assert len(score(MODEL, LOSS, CLIPS, t_ratio=0.4, path=path)) == len(CLIPS)


def test_a_reference_that_was_trained_on_these_clips_is_refused():
  own = score(MODEL, LOSS, CLIPS, t_ratio=0.4)
  seen = dataclasses.replace(MODEL, members={"a0": CLIPS.clips[0].sha256})
  with pytest.raises(ArgumentError, match=r"trained on 1 of these clips, such as a0;"):
    own.by_reference(score(seen, LOSS, CLIPS, t_ratio=0.4))
  # What nobody recorded is taken on trust, and so are members that a caller names.
  for reference in (
    score(MODEL, LOSS, CLIPS, t_ratio=0.4),
    score(MODEL, LOSS, CLIPS, t_ratio=0.4, members=["a-track0"]),
  ):
    assert len(own.by_reference(reference)) == len(own)


def test_no_scores_are_a_line_too():
  assert repr(Scores(rows=(), failed=("x",))) == "Scores(0 clips by  under , 1 failed)"
