"""Several processes that train as one: who they are, what they tell each other, and what ends them together."""
