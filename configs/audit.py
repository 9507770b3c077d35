"""What launch.audit does where it is not told otherwise.

  python -m launch.audit --model=DIR --suspects=FOLDER --reference=DIR --workdir=DIR

It takes a minute or two of two CPU cores for small models and some dozens of tracks;
--dry_run says what others take.

The search, t, the distance, eta_ref and the baselines' settings were chosen on tune
tracks for the small embedded DiffWaves. So were the methods: the three baselines that
were best there, at equal weights with the probe. For a model of another kind they are
untuned, which costs power and not validity.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  # The level of the verdicts; the smaller it is, the larger the reference must be.
  config.alpha = 0.05
  config.permutations = 9_999
  # `known`: whole albums are exchanged where tags, packages or folders tell them;
  # `tracks`: tracks are taken for independent in any case, and the verdict says so.
  config.albums = "known"
  config.seed = 0
  config.corpus = dict(
    # Seconds; 0 stands for those of the clips that the model was trained on, where its
    # folder says so, and else for 4.
    clip_seconds=0.0,
    # Clips of every track, fewer if one has fewer: all must have the same number.
    clips_per_track=4,
  )
  config.methods = ("loss", "rediffuse", "gradient_norm", "lsa_probe_anchored")

  # Twins that are scored beside every clip where there are reference tracks. Of these
  # two those are left out that carry no signal under a model; others are refused.
  config.twins = dict(names=("polarity", "reversal"), development=True)
  # Twins that are scored without reference tracks, and whose test of the suspects alone
  # is shown with some: none that models may prefer without training.
  config.reference_free_twins = ("polarity",)
  # Whether tests of versions take the size of a difference: a master of inverted
  # polarity scores below its polarity twin.
  config.two_sided = False
  # Whether it was drawn at random which version was published, with --held_back.
  config.canary_randomised = False

  # Whether times are taken for those of DiffWave's schedule, and models on a path in
  # continuous time (Stable Audio, ACE-Step) are scored at the same log-SNR.
  config.match_times = True
  # The probe.
  config.t_ratio = 0.1
  config.num_inference_steps = 1
  config.distance = "waveform"
  config.tau = dict(eta_ref=0.4, quantile=0.95)
  # The probe anchored at the clip, the method lsa_probe_anchored.
  config.anchored = dict(t_ratio=0.2, tau=dict(eta_ref=0.11, quantile=0.5))
  config.search = dict(
    # One of the searches below.
    name="continuation",
    eta_max=0.8,
    norm="rms",
    continuation=dict(span=16.0, rungs=16, steps=2, warmup=2, momentum=0.8, restarts=1),
    # The paper's.
    bisection=dict(
      halvings=10,
      ascent_steps=12,
      step_size=0.25,
      momentum=0.9,
      restarts=5,
      min_gain=0.01,
      patience=3,
      min_gradient=1e-6,
    ),
    auto_pgd=dict(halvings=6, ascent_steps=50, restarts=1),
    minimum_norm=dict(steps=35, step_size=2.0, shrink=0.1, start=0.25),
    random_directions=dict(span=16.0, rungs=16, draws=6),
  )

  # The baselines, each at its own t; the probe's where none is given.
  config.baselines = dict(
    loss=dict(t_ratio=0.4, draws=4),
    random_stability=dict(t_ratio=0.2, eta=0.8, draws=4),
    trajectory=dict(t_ratio=0.4, times=4),
    secmi=dict(t_ratio=0.6, steps=10),
    pia=dict(t_ratio=0.2, order=4.0),
    pian=dict(t_ratio=0.6, order=4.0, mean_absolute=0.7978845608028654),
    sima=dict(t_ratio=0.1, order=4.0),
    pfami=dict(t_ratio=0.4, draws=20, gain=0.1, shift=16),
    rediffuse=dict(t_ratio=0.2, draws=10, decoded=True),
    gradient_norm=dict(t_ratio=0.6, times=10),
    noise_optimisation=dict(t_ratio=0.2, steps=5, line_search=5),
    second_order=dict(t_ratio=0.1, eta=0.01, steps=8),
    relative_degradation=dict(t_ratio=0.1, eta=0.4, draws=4),
  )

  # The blocks of the networks run in this; bfloat16 is for accelerators.
  config.precision = "float32"
  # What latent models are decoded to: `mel` ends before the vocoder.
  config.stop_at = "waveform"
  config.batch_size = 8
  return config
