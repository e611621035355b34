"""How good a model is: scores beside baselines."""
