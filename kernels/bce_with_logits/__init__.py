"""Log loss on logits against a constant label t in [0, 1]: the adversarial loss of the original GAN.

    loss = mean( -t log s(x) - (1-t) log(1 - s(x)) )        s the logistic function
         = mean( max(x, 0) - t x + log(1 + e^-|x|) )        the form that cannot overflow
    dx   = (s(x) - t) / n

x any shape -> (loss, dx). `weight` multiplies the loss and dx. Saves dx.
"""
