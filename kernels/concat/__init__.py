"""Concatenation along one axis (channels by default): the skip connections of the U-Net. Saves only the widths."""
