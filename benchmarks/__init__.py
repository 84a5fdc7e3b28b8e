"""What is promised in ratios and seconds, measured: each is run by hand, and prints ratios taken in one run."""
