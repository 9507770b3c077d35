r"""A MusicLDM or AudioLDM at the paper's t and tau, with a search that is affordable.

  python -m launch.convert --source=PIPELINE_FOLDER --output=models/musicldm
  python -m launch.eval --config=configs/musicldm.py --workdir=runs/musicldm \
    --config.targets.A=models/musicldm --config.corpus.path=FOLDER

One model and no cross-over: group `a` of the corpus is taken for the members. Meant for
an accelerator; docs/musicldm.md says what it needs. The paper fixes t, eta_max, eta_ref
and the quantile, not the number of DDIM steps; its own search is
`--config.search.name=bisection`, at about twenty times the gradients.
"""

from ml_collections import ConfigDict

from configs import mini


def get_config() -> ConfigDict:
  config = mini.get_config()
  config.targets = ConfigDict(dict(A=""))
  # `mel` ends before the vocoder; `distance` is then `waveform`, the mean square,
  # which is that of log-mel spectrograms.
  config.stop_at = "waveform"
  config.corpus.clip_seconds = 4.0
  config.part = "all"
  config.t_ratio = 0.6
  config.num_inference_steps = 10
  config.distance = "mr_stft"
  config.tau.eta_ref = 0.05
  config.tau.quantile = 0.95
  config.methods = ("loss", "random_stability", "lsa_probe")
  # A mel spectrogram has neither polarity nor phase.
  config.twins.names = ("reversal",)
  # As many clips at once as fit the device.
  config.batch_size = 0
  return config
