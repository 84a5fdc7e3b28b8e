"""Duet: is a supervised contrastive embedding better than a classifier's, and is the difference real?"""

__version__ = "0.1.0"
