"""The audit's figures against what they are by hand."""

import numpy as np
import pytest

from lsaprobe_jax.metrics import search_comparison

CLIPS = ("a0", "a1", "a2", "b0", "b1", "b2")


def row(method, model, clip, cost, forward=5, backward=2, descents=0):
  member = clip[0] == model.lower()
  return {
    "method": method,
    "model": model,
    "clip": clip,
    "track": clip,
    "split": "member" if member else "nonmember",
    "cost": cost,
    "score": 1.0 if cost is None else cost,
    "nfe_forward": forward,
    "nfe_backward": backward,
    "descents": descents,
    "seconds": 0.5,
  }


def table(method, costs, **figures):
  keys = [(model, clip) for model in "AB" for clip in CLIPS]
  return [row(method, *key, cost, **figures) for key, cost in zip(keys, costs)]  # noqa: B905


def test_figures_by_hand():
  slow = table("slow", np.linspace(0.1, 0.65, 12), forward=700, backward=300)
  # Half as dear on ten of twelve, twice on one, not reached on one.
  costs = [0.5 * r["cost"] for r in slow]
  costs[10], costs[11] = 2 * slow[10]["cost"], None
  fast = table("fast", costs, descents=1)
  for r in fast[:6]:
    r["descents"] = 0
  slow_record, fast_record = search_comparison.summarise(
    slow + fast, baseline="slow", num_inference_steps=1
  )
  assert slow_record["passes"] == (700 + 2 * 300) / 3
  assert fast_record["passes"] == (5 + 2 * 2) / 3
  assert search_comparison.passes(fast[0], num_inference_steps=3) == (5 + 2 * 2) / 9
  assert slow_record["ratio"] == slow_record["ratio_p90"] == 1
  assert fast_record["ratio"] == pytest.approx(0.5)
  assert fast_record["ratio_p90"] == pytest.approx(2)
  assert fast_record["tightest"] == pytest.approx(10 / 12)
  assert slow_record["tightest"] == pytest.approx(2 / 12)
  assert fast_record["censored"] == pytest.approx(1 / 12)
  assert fast_record["descents"] == 0.5
  assert slow_record["auc_difference"] == 0
  assert slow_record["p_value"] == 1
  text = search_comparison.format_table([slow_record, fast_record])
  assert len({line.count("|") for line in text.splitlines()}) == 1


def test_auc_difference_is_that_of_the_cross_over():
  perfect = table("perfect", [1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1.1])
  flat = table("flat", [1.0] * 12)
  _, record = search_comparison.summarise(
    flat + perfect, baseline="flat", num_inference_steps=1
  )
  assert record["auc"] == 1
  assert record["auc_difference"] == 0.5


def test_only_clips_that_all_have_count():
  slow, fast = table("slow", [0.2] * 12), table("fast", [0.1] * 12)
  slow.append(row("slow", "A", "b9", 0.1) | {"split": "dev"})
  records = search_comparison.summarise(
    slow + fast[1:], baseline="slow", num_inference_steps=1
  )
  assert {record["n"] for record in records} == {10}
  with pytest.raises(ValueError, match="no clip"):
    search_comparison.summarise(slow + fast[:6], baseline="slow", num_inference_steps=1)
  with pytest.raises(ValueError, match="baseline"):
    search_comparison.summarise(fast, baseline="slow", num_inference_steps=1)
