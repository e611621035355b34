"""Weights in the formats of others: PyTorch, safetensors, ONNX."""
