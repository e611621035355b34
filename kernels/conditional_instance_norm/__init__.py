"""Conditional instance normalisation: instance norm whose scale and shift are given for each image and channel.

    x_hat = (x - mean) * rstd                    as in instance_norm
    y     = act(scale * x_hat + shift)

x [N,H,W,C], scale [N,C], shift [N,C] -> y [N,H,W,C], mean [N,C], rstd [N,C]. Activation and eps are
instance_norm's settings. Saves x, mean, rstd, scale and shift; x_hat and the activation's mask are recomputed.

Where scale and shift come from a code z, the same picture gets another style with each z (Dumoulin et al. 2017, A Learned
Representation for Artistic Style). One scale for all images is an affine instance norm; and with the batch laid out as
one tall image, it is a batch norm.
"""
