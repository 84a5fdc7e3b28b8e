"""What lies on disk: experiments, runs, and what they are planned from."""
