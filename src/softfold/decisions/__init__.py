"""What people decided about labels, and what follows from it."""
