"""What a launch is predicted to take: each thing that a simple roofline leaves out makes it slower, and none is forgotten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ml_dtypes import bfloat16

from autograd.fusion import Deferred
from benchmarks.cubin import Cubin, Loop
from benchmarks.demand import demand_of, reduction_steps
from benchmarks.gpus import GPUS, Gpu
from benchmarks.prediction import Demand, predict
from kernels.conv2d.fprop import fprop
from kernels.conv2d.geometry import Geometry
from kernels.conv2d.wgrad import wgrad
from kernels.gpu.launch import Launch, recorded
from kernels.instance_norm.normalise import normalise
from kernels.instance_norm.settings import NormSettings

GPU = Gpu(
    {"fp32": 10.0, "bf16": 40.0}, dram=5.0, l2=20.0, multiprocessors=4, target=90, clock=1.0,
    issue=1.0, memory_latency=0.1, l2_latency=0.05, shared_latency=0.01,
)  # fmt: skip
PRODUCT = Demand(4, dram=5, l2=5, flops=40, products="bf16", far=0)


def seconds(**changes) -> float:
    return predict(GPU, replace(PRODUCT, **changes)).seconds


def binds(**changes) -> str:
    return predict(GPU, replace(PRODUCT, **changes)).binds


def test_the_longest_counts_and_is_named():
    assert seconds() == 1.0 and seconds(dram=50) == seconds(flops=400) == 10.0
    assert binds(dram=50) == "dram" and binds(flops=400) == "tensor" and binds(l2=500) == "l2"
    assert seconds(products="fp32") == 4.0


def test_what_is_read_again_takes_time():
    assert seconds(l2=100) == 5.0 and predict(GPU, replace(PRODUCT, l2=100), without="l2").seconds == 1.0
    alone = predict(GPU, replace(PRODUCT, programs=1, l2=640))  # one multiprocessor takes in 64 bytes a cycle
    assert alone.terms["l2"] == 32.0
    assert predict(replace(GPU, clock=0.1), replace(PRODUCT, programs=1, l2=640)).terms["l2"] == 100.0


def test_instructions_take_time():
    assert seconds(issued=8) == 2.0 and binds(issued=8) == "issue"  # four schedulers
    assert predict(replace(GPU, issue=0.5), replace(PRODUCT, issued=8)).seconds == 4.0


def test_programs_come_in_rounds():
    """Eight on four multiprocessors: one after the other, or side by side where two fit. A fifth makes another round."""
    assert (
        seconds(programs=8, far=10) == pytest.approx(2 * (1.0 + 0.5)) and seconds(programs=8, far=10, resident=2) == 1.5
    )
    assert seconds(programs=5, flops=50) == 2.0 and seconds(programs=8, flops=80) == 2.0


def test_one_programs_waits_are_hidden_only_by_others():
    waits = replace(PRODUCT, flops=0, far=20, near=2, exchanges=10)
    assert predict(GPU, waits).seconds == pytest.approx(20 * 0.1 + 2 * 0.05 + 10 * 0.01)
    assert predict(GPU, waits).binds == "latency"
    assert predict(GPU, waits, without="latency").seconds == 1.0
    own = predict(GPU, replace(waits, issued=16))  # what it does itself is told apart from what it waits for
    assert own.bound["issue"] == 4.0 and own.bound["latency"] == pytest.approx(2.2)


# -- what launches ask for


def code(*loops: Loop, outside: Loop = Loop(0, {}, {}), warps: int = 4, products: str = "bf16") -> Cubin:  # noqa: B008
    return Cubin(64, 0, 0, 1024, warps, {}, {}, {}, 0, products, 0, Loop(0, {}, {}), loops, outside)


def test_a_block_in_one_launch_is_the_product_and_its_merge():
    """Of one picture's residual layer: 36 steps of 64x128x64 for each of 128 programs, and 64 partials of its channels."""
    from kernels.conv_norm_relu import gpu

    x, w = np.zeros((1, 64, 64, 256), bfloat16), np.zeros((3, 3, 256, 256), bfloat16)
    block = one(lambda: gpu.forward(x, w, geometry=Geometry(padding=1, padding_mode="reflect"), norm=NormSettings()))
    product = Loop(187, {16: 12}, {}, products={"HGMMA.64x128x16.F32.BF16": 4})
    merge, spin = Loop(223, {}, {16: 8}, products={"FFMA": 32}), Loop(13, {}, {4: 1})
    demand = demand_of(block, code(product, spin, merge, outside=Loop(100, {}, {}), warps=4), 90)
    assert reduction_steps(block) == 36 and demand.flops == block.flops
    assert demand.issued == 4 * (100 + 36 * 187 + 2 * (13 + 223))
    read, merged = 128 * 36 * (64 + 128) * 64 * 2, 128 * 64 * 2 * 128 * 4
    assert demand.l2 == read + merged + block.bytes - x.nbytes - w.nbytes
    assert (demand.far, demand.near) == (2, 4)


def one(call) -> Launch:
    with recorded(run=False) as launches:
        call()
    return launches[0]


def product(**tiles: int) -> Launch:
    """x [1,32,32,64] by w [3,3,64,128]: 9 steps of 64, 16 x 2 tiles of 64x64."""
    x, w = np.zeros((1, 32, 32, 64), bfloat16), np.zeros((3, 3, 64, 128), bfloat16)
    wanted = dict(BM=64, BN=64, BK=64, num_warps=4, num_stages=3) | tiles
    return one(lambda: fprop(x, w, None, (32, 32), Geometry(padding=1, padding_mode="reflect"), tiles=wanted))


HGMMA = Loop(100, {16: 8}, {}, products={"HGMMA.64x64x16.F32.BF16": 4}, barriers=2)  # one step of 64


def test_a_products_loop_runs_as_often_as_its_reduction_asks():
    launch = product()
    found = demand_of(launch, code(HGMMA, outside=Loop(50, {}, {})), 90)
    assert launch.grid == (16, 2, 1) and reduction_steps(launch) == 9 and found.flops == launch.flops
    assert found.issued == 4 * (50 + 9 * 100) and found.exchanges == 9 * 2 * 2 and found.far == 2
    twice = replace(HGMMA, instructions=180, products={"HGMMA.64x64x16.F32.BF16": 8})  # the compiler unrolled it by two
    assert demand_of(launch, code(twice), 90).issued == 4 * 4.5 * 180


def test_smaller_tiles_read_operands_more_often():
    x, w, y = 2 * 32 * 32 * 64, 2 * 9 * 64 * 128, 2 * 32 * 32 * 128
    for tiles, programs in ((dict(), 32), (dict(BN=128), 16), (dict(BM=128, BN=128), 8)):
        launch = product(**tiles)
        read = programs * 9 * 64 * 2 * sum(launch.constexprs[side] for side in ("BM", "BN"))
        found = demand_of(launch, code(HGMMA), 90)
        assert found.dram == launch.bytes == x + w + y and found.l2 == read + y


def test_tiles_that_stick_out_are_multiplied_all_the_same():
    """Three channels out: a tile has sixteen."""
    x, w = np.zeros((1, 32, 32, 64), bfloat16), np.zeros((3, 3, 64, 3), bfloat16)
    tiles = dict(BM=64, BN=16, BK=64, num_warps=4, num_stages=3)
    launch = one(lambda: fprop(x, w, None, (32, 32), Geometry(padding=1), tiles=tiles))
    assert demand_of(launch, code(HGMMA), 90).flops == launch.flops * 16 / 3


def test_slices_of_a_weights_gradient_share_its_pixels():
    """48 columns in a tile of 64: what sticks out is no reason for fewer steps."""
    x, dy = np.zeros((2, 64, 64, 64), bfloat16), np.zeros((2, 64, 64, 48), bfloat16)
    tiles = dict(BM=64, BN=64, BK=64, num_warps=4, num_stages=3)
    launch = one(lambda: wgrad(x, dy, (3, 3), Geometry(padding=1), tiles=tiles))
    slices = launch.grid[2]
    assert slices > 1 and reduction_steps(launch) == -(-2 * 64 * 64 // slices // 64)


def test_layers_that_share_a_launch_ask_for_as_much_as_they_do_apart():
    x, dy = np.zeros((2, 32, 32, 64), bfloat16), np.zeros((2, 32, 32, 64), bfloat16)

    def three():
        deferred = Deferred()
        for _ in range(3):
            wgrad(x, dy, (3, 3), Geometry(padding=1), stack=2, deferred=deferred)
        deferred.finish()

    alone = one(lambda: wgrad(x, dy, (3, 3), Geometry(padding=1), stack=2))
    together, table = one(three), 3 * 3 * 8
    assert reduction_steps(together) == reduction_steps(alone) and together.flops == 3 * alone.flops
    apart, found = demand_of(alone, code(HGMMA), 90), demand_of(together, code(HGMMA), 90)
    assert (
        found.programs == 3 * apart.programs
        and found.l2 == 3 * apart.l2 + table
        and found.dram == 3 * apart.dram + table
    )


def test_what_a_multiprocessor_holds_follows_from_registers_and_shared_memory():
    launch, held = product(), code(HGMMA)
    assert demand_of(launch, held, 90).resident == held.resident(90) == 8
    assert demand_of(launch, replace(held, shared=200 * 1024), 90).resident == 1
    assert demand_of(launch, replace(held, shared=300 * 1024), 90).resident == 1  # unfit, and told as such elsewhere


def test_every_program_reads_all_partials():
    x, partials = np.zeros((1, 64, 64, 64), bfloat16), np.zeros((1, 64, 2, 64), np.float32)
    launch = one(lambda: normalise(x, partials, 64, None, NormSettings()))
    programs, merged = launch.grid[0], 64 // launch.constexprs["BT"]
    merge = Loop(90, {}, {16: 1}, shuffles=8, barriers=4)
    main = Loop(120, {}, {16: 2}, {16: 2})  # moves 8 KB a trip: 128 threads, 64 bytes each
    found = demand_of(launch, code(merge, main, products=""), 90)
    trips = launch.bytes / programs / 8192
    assert found.l2 == launch.bytes + programs * 64 * 2 * 64 * 4 and found.dram == launch.bytes
    assert found.near == merged and found.far == 2 + trips and found.exchanges == merged * (8 + 2)
    assert found.issued == 4 * (merged * 90 + trips * 120)
    fewer = demand_of(launch, code(replace(merge, barriers=0, shuffles=0), main, products=""), 90)
    assert predict(GPUS["H100"], fewer).seconds < predict(GPUS["H100"], found).seconds
