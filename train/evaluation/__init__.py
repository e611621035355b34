"""How good a model is: scores beside baselines, a verdict, what it hides."""
