"""Chapter 9. Fill in the holes, then: python -m lessons check 9"""


def receptive_field(layers: list[tuple[int, int]]) -> int:
    """How many pixels along a side one output of these convolutions sees; layers from first to last, each (kernel, stride)."""
    raise NotImplementedError(
        "walk through the layers; keep the field and how far apart neighbouring outputs are, in pixels"
    )


# PatchDiscriminator has n convolutions (4, stride 2), then two (4, stride 1). What is the largest n whose box is not larger than a
# picture of 64 pixels?
layers_for_64 = None

# The boxes are about convolutions alone. Which op of the discriminator lets a score depend on pixels outside of its box?
# Its name as in kernels/, a string.
reaches_everywhere = None
