"""What finished runs say: scores, verdict, curve, readouts."""
