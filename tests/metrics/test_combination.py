import crossover
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lsaprobe_jax.metrics import combination, roc, summary


def _tune(rows):
  """The rows as those of other tracks."""
  return [
    row | {"clip": f"tune-{row['clip']}", "track": f"tune-{row['track']}"}
    for row in rows
  ]


def _development(model, method, scores):
  (row, *_) = crossover.rows(method, models=(model,))
  return [
    row | {"clip": f"dev{i}", "track": f"dev{i}", "split": "dev", "score": float(score)}
    for i, score in enumerate(scores)
  ]


def _pair(seed, models=("A", "B"), effect=1.5):
  """`signal` is membership under noise; `noise` is that noise, which says nothing."""
  noise = crossover.rows("noise", seed, 0.0, models)
  signal = [
    row | {"method": "signal", "score": 3 * row["score"] + more["score"]}
    for row, more in zip(
      noise, crossover.rows("small", seed + 1000, effect, models), strict=True
    )
  ]
  return [*signal, *noise]


def _auc(rows, model):
  own = [row for row in rows if row["model"] == model]
  return roc.auc(
    [row["score"] for row in own], [row["split"] == "member" for row in own]
  )


SETTINGS = ("signal", ("noise", None, 0.4))


def test_it_finds_what_no_score_shows_alone():
  tune = [row for i in range(6) for row in _numbered(_pair(i, effect=3.0), i)]
  test = _pair(99, effect=3.0)
  found = combination.from_scores(_tune(tune), test, SETTINGS, name="both")
  for model in "AB":
    alone = _auc([row for row in test if row["method"] == "signal"], model)
    both = _auc(found, model)
    # 3 over a spread of sqrt(1 + 9), or of 1: AUCs of Phi(0.67) and Phi(2.1).
    assert alone < 0.9
    assert both > 0.95
  first = found[0]
  assert first["method"] == "both"
  assert (first["distance"], first["t_ratio"], first["cost"]) == (None, None, None)
  assert (first["nfe_forward"], first["seconds"]) == (8, pytest.approx(0.2))
  assert {row["clip"] for row in found} == {row["clip"] for row in test}
  # Rows like others: a summary can be made of them.
  records = summary.summarise(found, resamples=2)
  assert [record["model"] for record in records] == ["A", "B", "mean"]


def _numbered(rows, i):
  return [
    row | {"clip": f"{row['clip']}-{i}", "track": f"{row['track']}-{i}"} for row in rows
  ]


def test_noise_stays_at_one_half():
  aucs = []
  for seed in range(60):
    tune, test = _tune(_pair(seed, effect=0.0)), _pair(seed + 500, effect=0.0)
    found = combination.from_scores(tune, test, SETTINGS, name="both")
    aucs.append((_auc(found, "A") + _auc(found, "B")) / 2)
  error = np.std(aucs) / np.sqrt(len(aucs))
  assert error < 0.02
  assert np.mean(aucs) == pytest.approx(0.5, abs=3 * error)


def test_one_target_is_scikit_learns_pipeline():
  tune, test = _tune(_pair(0, ("A",))), _pair(1, ("A",))
  found = combination.from_scores(tune, test, SETTINGS, name="both")
  features = [
    np.reshape([row["score"] for row in rows], (2, -1)).T for rows in (tune, test)
  ]
  labels = [row["split"] == "member" for row in tune[: len(tune) // 2]]
  pipeline = make_pipeline(StandardScaler(), LogisticRegression())
  pipeline.fit(features[0], labels)
  expected = pipeline.decision_function(features[1])
  np.testing.assert_allclose([r["score"] for r in found], expected, rtol=1e-3)


def test_each_model_is_standardised_on_its_development_clips():
  rng = np.random.default_rng(0)
  test = _pair(1)
  for model in "AB":
    for method in ("signal", "noise"):
      test += _development(model, method, rng.normal(size=20))
  # Another unit and another zero under B, in everything B scored.
  move = lambda row: (
    row | {"score": row["score"] if row["model"] == "A" else 7 * row["score"] - 40}
  )
  found, moved = (
    combination.from_scores(
      [change(r) for r in _tune(_pair(0))],
      [change(r) for r in test],
      SETTINGS,
      name="both",
    )
    for change in (lambda row: row, move)
  )
  np.testing.assert_allclose(
    [r["score"] for r in found], [r["score"] for r in moved], rtol=1e-6
  )
  assert sum(row["split"] == "dev" for row in found) == 40
  # The development clips it is: with others the scores are others.
  others = combination.from_scores(_tune(_pair(0)), _pair(1), SETTINGS, name="both")
  assert others[0]["score"] != pytest.approx(found[0]["score"], rel=1e-3)


def test_development_clips_that_lack_a_feature_are_passed_over():
  half = _development("A", "signal", [1.0, 2.0, 3.0])
  found, without = (
    combination.from_scores(_tune(_pair(0)), _pair(1) + extra, SETTINGS, name="both")
    for extra in (half, [])
  )
  assert found == without


def test_the_null_control_is_scored_and_teaches_nothing():
  three = ("A", "B", "reference")
  test = _pair(1, three)
  found = combination.from_scores(_tune(_pair(0, three)), test, SETTINGS, name="both")
  without = combination.from_scores(
    _tune(_pair(0, three[:2])), test, SETTINGS, name="both"
  )
  assert {row["model"] for row in found} == set(three)
  assert [row for row in found if row["model"] != "reference"] == without
  records = summary.summarise(found, resamples=2)
  assert [r["model"] for r in records] == ["A", "B", "mean", "reference"]


def _with_norms(seed, effect):
  rng = np.random.default_rng(seed)
  shift = lambda row: effect * (row["split"] == "member") * np.array([1, 0, -1, 0])
  return [
    row | {"norms": (rng.normal(size=4) + shift(row)).tolist()}
    for row in crossover.rows("gradient_norm", seed)
  ]


def test_gsa_reads_the_vector_in_the_rows():
  tune, test = _tune(_with_norms(0, 2.0)), _with_norms(1, 2.0)
  found = combination.from_details(tune, test, "gradient_norm", "norms", name="gsa")
  # Two features of four shift by 2: an AUC of Phi(2) = 0.98 at best.
  assert 0.9 < (_auc(found, "A") + _auc(found, "B")) / 2 <= 1
  assert found[0]["nfe_forward"] == 4
  assert "norms" not in found[0]
  shorter = [row | {"norms": row["norms"][:3]} for row in test]
  with pytest.raises(ValueError, match=r"vectors of \[3, 4\] features; score"):
    combination.from_details(tune, shorter, "gradient_norm", "norms", name="gsa")
  with pytest.raises(ValueError, match=r"a00@0 under A has no 'layers'"):
    combination.from_details(tune, test, "gradient_norm", "layers", name="gsa")


def _without(rows, clip):
  return [r for r in rows if (r["clip"], r["method"]) != (clip, "noise")]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda t, s: (t + s, s), r"24 tracks are in tune and test, e\.g\. a00; take"),
    (lambda t, s: (t, _without(s, "a03@0")), r"a03@0 under A has no .*noise.* test"),
    (lambda t, s: (t, [s[0] | {"score": np.nan}, *s[1:]]), r"a00@0 .*feature 0 is nan"),
    (lambda t, s: (t, s + [r | {"t_ratio": 0.8} for r in s[:24]]), "names several"),
    (lambda t, s: (t[:24], s), r"noise.*names none; there are .*tune rows"),
    (lambda t, s: ([r for r in t if r["model"] == "A"], s), "B has no tune rows"),
    (lambda t, s: ([r for r in t if r["split"] == "member"], s), "and of non-members"),
    (lambda t, s: (t, s + s[:1]), r"two rows for .*a00@0"),
  ],
)  # fmt: skip
def test_what_cannot_be_combined_is_refused(change, message):
  tune, test = change(_tune(_pair(0)), _pair(1))
  with pytest.raises(ValueError, match=message):
    combination.from_scores(tune, test, SETTINGS, name="both")
