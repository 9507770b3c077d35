"""Costs read off curves: what is no curve or no target never becomes a cost."""

import numpy as np
import pytest

from lsaprobe_jax.attacks.lsa_probe import read_costs, read_degradations

BUDGETS = np.array([[0.1, 0.2, 0.4]])
DEGRADATIONS = np.array([[1.0, 2.0, 4.0]])


def test_a_target_out_of_reach_is_censored_and_one_in_reach_is_not():
  (reached,) = read_costs(BUDGETS, DEGRADATIONS, 1.5)
  (censored,) = read_costs(BUDGETS, DEGRADATIONS, 9.0)
  assert (reached["reached"], censored["reached"]) == (True, False)
  assert reached["cost"] == pytest.approx(0.2)
  assert censored["score"] > reached["score"]


@pytest.mark.parametrize("tau", [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-60])
def test_a_target_that_is_none_is_refused(tau):
  with pytest.raises(ValueError, match=r"tau=.* is not a finite number above 0"):
    read_costs(BUDGETS, DEGRADATIONS, tau)


@pytest.mark.parametrize("eta", [np.nan, 0.0, -0.1])
def test_a_budget_that_is_none_is_refused(eta):
  with pytest.raises(ValueError, match="eta_max="):
    read_costs(BUDGETS, DEGRADATIONS, 1.0, eta)
  with pytest.raises(ValueError, match="eta="):
    read_degradations(BUDGETS, DEGRADATIONS, eta)


@pytest.mark.parametrize(
  ("budgets", "degradations", "match"),
  [
    (BUDGETS, DEGRADATIONS * np.nan, "D is not finite at 3 of 3 budgets"),
    (BUDGETS, [[1.0, np.nan, 4.0]], "D is not finite at 1 of 3"),
    (BUDGETS, [[1.0, None, 4.0]], "D is not finite at 1 of 3"),
    (BUDGETS, [[1.0, 2.0, np.inf]], "D is not finite at 1 of 3"),
    ([[0.1, np.nan, 0.4]], DEGRADATIONS, "budgets are not finite"),
    ([[0.0, 0.2, 0.4]], DEGRADATIONS, "budgets are not finite numbers above 0"),
    ([[0.2, 0.1, 0.4]], DEGRADATIONS, "budgets do not grow"),
    ([[0.1, 0.1, 0.4]], DEGRADATIONS, "budgets do not grow"),
    (BUDGETS[:, :2], DEGRADATIONS, "not both"),
    (BUDGETS[0], DEGRADATIONS[0], "not both"),
  ],
)
def test_a_curve_that_is_none_is_refused(budgets, degradations, match):
  for read in (read_costs, read_degradations):
    with pytest.raises(ValueError, match=match):
      read(budgets, degradations, 1.0)
