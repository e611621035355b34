"""Ops on Tensors: each wires one kernel folder into the graph. The maths is in kernels/<op>/."""

import sys

from autograd.ops.arithmetic import add, div, exp, getitem, matmul, mul, pow, reshape, sub, sum, transpose
from autograd.ops.batch_slice import batch_slice
from autograd.ops.bce_with_logits import bce_with_logits
from autograd.ops.cast import cast
from autograd.ops.concat import concat
from autograd.ops.conditional_instance_norm import conditional_instance_norm
from autograd.ops.conv2d import conv2d
from autograd.ops.conv_norm_relu import conv_norm_relu, conv_transpose_norm_relu
from autograd.ops.conv_transpose2d import conv_transpose2d
from autograd.ops.dropout import dropout
from autograd.ops.hinge_loss import hinge_loss
from autograd.ops.instance_norm import instance_norm
from autograd.ops.l1_loss import l1_loss
from autograd.ops.leaky_relu import leaky_relu, relu
from autograd.ops.lsgan_loss import lsgan_loss
from autograd.ops.mean import mean
from autograd.ops.reflection_pad import reflection_pad
from autograd.ops.resize import resize
from autograd.ops.tanh import tanh
from autograd.tensor import Tensor

__all__ = [
    "add", "batch_slice", "bce_with_logits", "cast", "concat", "conditional_instance_norm", "conv2d", "conv_norm_relu",
    "conv_transpose2d", "conv_transpose_norm_relu", "div", "dropout", "exp", "getitem", "hinge_loss", "instance_norm",
    "l1_loss", "leaky_relu", "lsgan_loss", "matmul", "mean", "mul", "pow", "reflection_pad", "relu", "reshape", "resize", "sub", "sum",
    "tanh", "transpose",
]  # fmt: skip

Tensor.ops = sys.modules[__name__]
