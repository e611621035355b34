"""Weights in the formats of others: PyTorch's files, safetensors, ONNX. Start with `weights.py`."""
