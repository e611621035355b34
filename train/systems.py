"""The programs that train: in each the name of the class that makes a model, and of that of its settings."""

SYSTEMS = {
    "train.cyclegan": ("CycleGAN", "Config"),
    "train.pix2pix": ("Pix2Pix", "Pix2PixConfig"),
    "train.augmented_cyclegan": ("AugmentedCycleGAN", "AugmentedConfig"),
    "train.stochastic_cyclegan": ("StochasticCycleGAN", "StochasticConfig"),
}
