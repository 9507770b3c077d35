"""The paper's four pairs: its settings, what trains their models, what they name."""

import itertools
import math

import jax
import pytest

from configs import paper_diffwave, paper_musicldm, paper_train, sweep_extra
from lsaprobe_jax.models import registry
from lsaprobe_jax.scoring import factories
from lsaprobe_jax.scoring.settings import Experiment

EVALUATED = {"diffwave": paper_diffwave, "musicldm": paper_musicldm}
PAIRS = list(itertools.product(EVALUATED, ("maestro", "fma")))


@pytest.mark.parametrize(("model", "corpus"), PAIRS)
def test_a_pair_has_the_papers_settings(model, corpus):
  config = EVALUATED[model].get_config(corpus)
  experiment = Experiment.from_dict(config.to_dict())
  search = factories.make_search(experiment.search)
  settings = (search.eta_max, search.halvings, search.ascent_steps, search.restarts)
  assert settings == (0.8, 10, 12, 5)
  assert (search.momentum, search.step_size) == (0.9, 0.25)
  early = (search.min_gain, search.patience, search.min_gradient)
  assert early == (0.01, 3, 1e-6)
  assert (config.t_ratio, config.distance, config.part) == (0.6, "cdpam", "all")
  assert (config.tau.eta_ref, config.tau.quantile) == (0.05, 0.95)
  baselines = {"loss", "trajectory", "secmi"}
  assert {f"{name}_nfe_matched" for name in baselines} | baselines < set(config.methods)
  # What is matched to the probe needs its rows.
  order = [config.methods.index(name) for name in ("lsa_probe", "loss_nfe_matched")]
  assert order == sorted(order)


def test_fresh_ground_has_the_papers_settings_and_the_studys_models():
  config = paper_diffwave.get_config("extra").to_dict()
  study = sweep_extra.get_config().to_dict()
  paper = paper_diffwave.get_config("maestro").to_dict()
  for name in ("t_ratio", "tau", "search", "distance", "num_inference_steps", "part"):
    assert config[name] == paper[name]
  assert config["corpus"] == study["corpus"]
  # Its models are the last snapshots of the same trainings.
  assert config["targets"] == {
    name: f"{folder.split('/snapshots/')[0]}/model"
    for name, folder in study["targets"].items()
    if name != "reference"
  }


@pytest.mark.parametrize(("model", "corpus"), PAIRS)
def test_what_is_trained_is_what_is_evaluated(model, corpus):
  evaluated = EVALUATED[model].get_config(corpus)
  for name, group in {"A": "a", "B": "b", "reference": "reference"}.items():
    trained = paper_train.get_config(f"{model},{corpus},{group}")
    assert evaluated.targets[name] == f"runs/train/{model}-{corpus}-{group}/model"
    assert trained.corpus.groups == (group,)
    assert trained.corpus.path == evaluated.corpus.path
    assert trained.corpus.clip_seconds == evaluated.corpus.clip_seconds == 4.0


@pytest.mark.parametrize(
  ("model", "millions"), [("diffwave", (2, 4)), ("musicldm", (150, 250))]
)
def test_a_paper_model_has_its_published_size(model, millions):
  config = paper_train.get_config(f"{model},maestro,a")
  params = registry.abstract_params(config.model.to_dict())
  denoiser = params.get("unet", params)
  size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(denoiser)) / 1e6
  assert millions[0] < size < millions[1]


@pytest.mark.parametrize(
  ("module", "arg"),
  [(paper_musicldm, "piano"), (paper_diffwave, "jazz"), (paper_train, "diffwave"),
   (paper_train, "diffwave,maestro,dev"), (paper_train, "vae,fma,a")],
)  # fmt: skip
def test_another_pair_is_refused(module, arg):
  with pytest.raises(ValueError, match=r"known:|give diffwave or musicldm"):
    module.get_config(arg)
