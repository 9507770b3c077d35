"""The paper's settings for DiffWave (Liu et al., ICASSP 2026), as far as it fixes them.

  python -m launch.eval --config=configs/paper_diffwave.py --workdir=runs/paper

As it stands it runs the paper's search on the embedded benchmark: up to 660
differentiated reverse processes a clip, hours on two CPU cores (`--limit=3` for a
look). On the paper's data, built by `launch.corpus` (docs/datasets.md) below `data`,
with models that `configs/paper_train.py` trains on its halves:

  python -m launch.eval --config=configs/paper_diffwave.py:maestro --workdir=runs/dm
  python -m launch.eval --config=configs/paper_diffwave.py:fma --workdir=runs/df

For a model and a corpus of your own:

  --config.corpus.path=FOLDER --config.corpus.clip_seconds=4.0
  --config.targets.A=MODEL_FOLDER --config.targets.B=OTHER_MODEL_FOLDER

The paper fixes t, eta_max, eta_ref, the quantile and the search. It does not fix the
scale of the norm (here: root mean square), the number of DDIM steps or the number of
clips a track.
"""

from ml_collections import ConfigDict

from configs import mini

# Segments of 4 s, whole tracks, as `launch.corpus` names the folders.
DATASETS = {
  "maestro": "data/maestro_v3/{rate}hz-4s-all/1.0.0",
  "fma": "data/fma/large-{rate}hz-4s-all/1.0.0",
}
RATES = {"diffwave": 22050, "musicldm": 16000}  # Hz
CLIP_SECONDS = 4.0


def dataset(corpus: str, model: str) -> str:
  """The folder of a dataset at the rate of a model."""
  return DATASETS[corpus].format(rate=RATES[model])


def model_folder(model: str, corpus: str, group: str) -> str:
  """Where the model trained on a group of a dataset is."""
  return f"runs/train/{model}-{corpus}-{group.lower()}/model"


def get_config(corpus: str = "multigenre") -> ConfigDict:
  config = mini.get_config("multigenre" if corpus in DATASETS else corpus)
  if corpus in DATASETS:
    config.corpus.path = dataset(corpus, "diffwave")
    config.corpus.clip_seconds = CLIP_SECONDS
    # Nothing was tuned on these: every track is a test track.
    config.part = "all"
    for name in config.targets:
      config.targets[name] = model_folder("diffwave", corpus, name)
  # Those of the paper's table; Loss, Trajectory and SecMI with as many evaluations as
  # the probe.
  rivals = ("loss", "trajectory", "secmi")
  matched = tuple(f"{name}_nfe_matched" for name in rivals)
  config.methods = (*rivals, "random_stability", "lsa_probe", *matched)
  # 0: as many as fit the device.
  config.batch_size = 0
  config.t_ratio = 0.6
  config.num_inference_steps = 10
  config.distance = "cdpam"
  config.tau.eta_ref = 0.05
  config.tau.quantile = 0.95
  config.search.update(name="bisection", eta_max=0.8, norm="rms")
  config.search.bisection.update(
    halvings=10,
    ascent_steps=12,
    step_size=0.25,
    momentum=0.9,
    restarts=5,
    min_gain=0.01,
    patience=3,
    min_gradient=1e-6,
  )
  return config
