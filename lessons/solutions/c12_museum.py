"""Chapter 12, solved."""

edits = [
    ("l1_loss(rec_a, a, self.lambda_cycle)", "l1_loss(rec_a, a, 0.0)"),
    ("l1_loss(rec_b, b, self.lambda_cycle)", "l1_loss(rec_b, b, 0.0)"),
]
