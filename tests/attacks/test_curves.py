"""Costs read off curves: what is no curve or no target never becomes a cost."""

import numpy as np
import pytest

from lsaprobe_jax.attacks.lsa_probe import read_costs, read_damages

BUDGETS = np.array([[0.1, 0.2, 0.4]])
DAMAGES = np.array([[1.0, 2.0, 4.0]])


def test_a_target_out_of_reach_is_censored_and_one_in_reach_is_not():
  (reached,) = read_costs(BUDGETS, DAMAGES, 1.5)
  (censored,) = read_costs(BUDGETS, DAMAGES, 9.0)
  assert (reached["reached"], censored["reached"]) == (True, False)
  assert reached["cost"] == pytest.approx(0.2)
  assert censored["score"] > reached["score"]


@pytest.mark.parametrize("tau", [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-60])
def test_a_target_that_is_none_is_refused(tau):
  with pytest.raises(ValueError, match=r"tau is .*, not a finite number above 0"):
    read_costs(BUDGETS, DAMAGES, tau)


@pytest.mark.parametrize("eta", [np.nan, 0.0, -0.1])
def test_a_budget_that_is_none_is_refused(eta):
  with pytest.raises(ValueError, match="eta_max is "):
    read_costs(BUDGETS, DAMAGES, 1.0, eta)
  with pytest.raises(ValueError, match="eta is "):
    read_damages(BUDGETS, DAMAGES, eta)


@pytest.mark.parametrize(
  ("budgets", "damages", "match"),
  [
    (BUDGETS, DAMAGES * np.nan, "D is not finite at 3 of 3 budgets"),
    (BUDGETS, [[1.0, np.nan, 4.0]], "D is not finite at 1 of 3"),
    (BUDGETS, [[1.0, None, 4.0]], "D is not finite at 1 of 3"),
    (BUDGETS, [[1.0, 2.0, np.inf]], "D is not finite at 1 of 3"),
    ([[0.1, np.nan, 0.4]], DAMAGES, "budgets are not finite"),
    ([[0.0, 0.2, 0.4]], DAMAGES, "budgets are not finite numbers above 0"),
    ([[0.2, 0.1, 0.4]], DAMAGES, "budgets do not grow"),
    ([[0.1, 0.1, 0.4]], DAMAGES, "budgets do not grow"),
    (BUDGETS[:, :2], DAMAGES, "not both"),
    (BUDGETS[0], DAMAGES[0], "not both"),
  ],
)
def test_a_curve_that_is_none_is_refused(budgets, damages, match):
  for read in (read_costs, read_damages):
    with pytest.raises(ValueError, match=match):
      read(budgets, damages, 1.0)
