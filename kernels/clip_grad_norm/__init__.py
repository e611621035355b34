"""Gradient clipping: all gradients of a network scaled together, so that their joint Euclidean norm is at most `most`.

    norm = sqrt(sum of squares)        g' = g most / (norm + 1e-6) where norm > most, else g

grads: float arrays -> as many. The given ones are not written to: others may hold them. Saves nothing. Pascanu, Mikolov and
Bengio 2013; PyTorch's clip_grad_norm_.
"""
