"""Instance normalisation with what follows it in CycleGAN: an activation and a residual add.

    x_hat = (x - mean) * rstd        mean, variance over the HxW pixels of one image and channel (biased variance)
    y     = act(x_hat) + skip        rstd = 1 / sqrt(variance + eps)

x [N,H,W,C], skip like x or None -> y [N,H,W,C], mean [N,C], rstd [N,C]. No affine parameters, no running statistics.
The activation ("none", "relu" or "leaky_relu" with a slope below 0) and eps are `NormSettings` (settings.py). Saves x, mean and
rstd; x_hat and the activation's mask are recomputed in the backward, which costs less than keeping them. The gradient of skip
is dy itself.

The variance comes from a second pass over x - mean: E[x^2] - E[x]^2 would lose all digits where the mean is large.
"""
