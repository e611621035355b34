"""Pictures that the program draws itself, so that each one's true partner is known."""
