"""The paper's ablation study: variants of CycleGAN on one data set whose truth is known, side by side.

The paper (section 5.1.4, tables 4 and 5, figure 7) takes single losses away and finds, for the mapping photo -> labels, that
the cycle loss alone and GAN + backward cycle do not give pictures of the target domain, and that GAN alone and GAN + forward
cycle suffer from mode collapse. Its G maps labels to photos: "forward" is labels -> photo -> labels, lambda_A where A holds
the labels, "backward" photo -> labels -> photo, lambda_B. So the finding is about B -> A, *against* which the forward cycle does
not guard. Both directions are trained anyway, and both are judged (train/evaluation/verdict.py).

Every variant is an ordinary run under checkpoints_dir/name, with its report; all share budget, data order and seed. A variant
that is done is not trained again, and one that was stopped goes on: give the same command again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from train.config.settings import PRESETS, Config, another_default, resolve, setting
from train.errors import UserError
from train.evaluation.evaluation import Evaluation
from train.evaluation.verdict import judge
from train.files.json_file import write_json
from train.models.cyclegan import CycleGAN
from train.report.ablation import Study, summary, write_page
from train.run.several import trained

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "full": ("CycleGAN: both adversarial losses, both cycles", {}),
    "cycle": ("the cycle losses alone, no discriminators", dict(lambda_GAN=0.0)),
    "gan": ("the adversarial losses alone", dict(lambda_A=0.0, lambda_B=0.0)),
    "forward": ("GAN + forward cycle, A → B → A", dict(lambda_B=0.0)),
    "backward": ("GAN + backward cycle, B → A → B", dict(lambda_A=0.0)),
    "identity": ("full, with the identity losses", dict(lambda_identity=0.5)),
    "no-pool": ("full, discriminators see the newest fakes only", dict(pool_size=0)),
    "unet": ("full, with U-Net generators", dict(netG="unet_64")),
    "vanilla": ("full, with the log loss of the first GANs", dict(gan_mode="vanilla")),
    "hinge": ("full, with the hinge loss", dict(gan_mode="hinge")),
    "wgangp": ("full, Wasserstein loss with gradient penalty", dict(gan_mode="wgangp")),
}
"""Each variant: what it is, and its settings where they differ from the base."""


@dataclass(frozen=True)
class AblationConfig(Config):
    """The settings of the base, and which variants of it to train. As in the paper's study, there is no identity loss."""

    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    name: str = another_default("name", "ablation")
    builtin: str = another_default("builtin", "streets")
    lambda_identity: float = another_default("lambda_identity", 0.0)
    seed: int = 0
    variants: str = setting(
        "full,cycle,gan,forward,backward,identity,no-pool,unet,vanilla",
        f"which to train, of {', '.join(VARIANTS)}",
        group="run",
    )
    seeds: str = setting(  # type: ignore[assignment]
        "0", "seeds under which each variant is trained, such as 0,1,2", group="run"
    )

    def check(self) -> None:
        """UserError for values that no run can use."""
        super().check()
        for name in self.variants.split(","):
            if name not in VARIANTS:
                raise UserError(f"--variants: there is no {name!r}; choose from {', '.join(VARIANTS)}")
        if not all(seed.isdecimal() for seed in self.seeds.split(",")):
            raise UserError(f"--seeds is {self.seeds!r}; wanted numbers separated by commas, such as 0,1,2")

    def runs(self) -> dict[tuple[str, int], Config]:
        """The settings of each run, by variant and seed."""
        base = {name: getattr(self, name) for name in Config.options()}
        base["seeds"] = 1
        base["checkpoints_dir"] = str(Path(self.checkpoints_dir) / self.name)
        return {
            (name, seed): Config(**base | VARIANTS[name][1] | dict(seed=seed, name=f"{name}-{seed}"))
            for seed in map(int, dict.fromkeys(self.seeds.split(",")))
            for name in dict.fromkeys(self.variants.split(","))
        }


def study(config: AblationConfig) -> Path:
    """Train what is not trained yet and write the page; returns its path."""
    folder, results, histories = Path(config.checkpoints_dir) / config.name, {}, {}
    runs = config.runs()
    for settings in runs.values():
        settings.check()  # all of them before the first is trained
    for settings in {settings.netG: resolve(settings) for settings in runs.values()}.values():
        if not Evaluation(settings).truth:
            raise UserError("the study needs test images whose partners are known: testA and testB with the same names")
    for (variant, seed), settings in runs.items():
        run = trained(CycleGAN, settings)
        evaluation = Evaluation(run.config, cache=folder / "classifier.npz")
        results[variant, seed], histories[variant, seed] = judge(run.model, evaluation), run.display.history.read()
    found = Study({name: VARIANTS[name][0] for name, _ in results}, results, histories, config, evaluation)
    write_json(folder / "ablation.json", summary(found))
    return write_page(folder, found)
