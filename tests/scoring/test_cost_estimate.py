"""What an evaluation would cost, from two batches of each of its methods."""

import re

import numpy as np
import pytest
from tiny_experiment import PAPERS

from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import LSAProbe, MaxDegradation
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.scoring import cost_estimate
from lsaprobe_jax.scoring.evaluate import estimate_cost
from lsaprobe_jax.scoring.row_store import RowStore

A, B, DEV = 4, 5, 21


def test_an_estimate_counts_a_whole_search(settings):
  changes = {
    "search.bisection.halvings": 9,
    "search.bisection.ascent_steps": 1,
    "search.bisection.restarts": 20,
    "methods": ("lsa_probe", "loss_nfe_matched"),
  }
  found = estimate_cost(settings.changed(PAPERS | changes))
  probe, matched = found.methods
  assert (probe.method, matched.method) == ("lsa_probe", "loss_nfe_matched")
  # Under three models: both halves, and development clips, twice where tau needs it.
  assert probe.clips == matched.clips == 3 * (A + B + 2 * DEV)
  assert probe.seconds == probe.compile_seconds + probe.clips * probe.clip_seconds
  assert found.seconds == probe.seconds + matched.seconds
  assert found.peak_bytes > 1e7
  # As many evaluations of the network as two hundred climbs of the probe take.
  assert matched.clip_seconds > 0.01
  lines = str(found).splitlines()
  assert len(lines) == 3
  assert re.match(r"lsa_probe: \d+ clips, \S+ s each and \d+ s to compile: ", lines[0])
  assert re.match(r"estimate: \S+ min and \S+ GiB on \d+ x ", lines[2])


def test_one_climb_of_all_is_timed():
  bisection = searches.get("bisection", halvings=9, restarts=20)
  whole = LSAProbe(distance=None, tau=np.inf, search=bisection)
  short, climbs = cost_estimate.one_climb(whole)
  # At eta_max and nine halvings, from twenty starts each.
  assert climbs == 10 * 20
  assert (short.search.halvings, short.search.restarts) == (1, 1)
  assert short.search.ascent_steps == bisection.ascent_steps
  # No rule ends it before its last step.
  assert (short.search.min_gain, short.search.min_gradient) == (-np.inf, 0)


def test_what_has_no_tau_makes_one_trial():
  bisection = searches.get("bisection", halvings=9, restarts=20)
  ascent = MaxDegradation(distance=None, search=bisection, eta=0.1)
  assert cost_estimate.one_climb(ascent)[1] == 20


def test_a_ladder_is_timed_whole():
  ladder = LSAProbe(distance=None, tau=np.inf, search=searches.get("continuation"))
  assert cost_estimate.one_climb(ladder) == (ladder, 1)


def test_a_method_without_a_score_is_said():
  with pytest.raises(ArgumentError, match=r"^dry_run: a method has a score on none"):
    cost_estimate._mean_nfe(RowStore())


@pytest.mark.parametrize(("limit", "clips"), [(None, 9), (2, 4)])
def test_an_estimate_is_of_the_clips_that_would_be_scored(settings, limit, clips):
  found = estimate_cost(settings.changed({"methods": ["loss"]}), limit)
  assert found.methods[0].clips == 3 * (clips + 2 * DEV)
