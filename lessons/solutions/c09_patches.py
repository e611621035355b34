"""Chapter 9, solved."""


def receptive_field(layers: list[tuple[int, int]]) -> int:
    field, apart = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * apart
        apart *= stride
    return field


layers_for_64 = 2
reaches_everywhere = "instance_norm"
