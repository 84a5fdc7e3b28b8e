"""What finished runs say: scores, verdict, curve, report."""
