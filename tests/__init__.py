"""Tests in tiers: `unit` while working, `process`, `browser` and `js`; what several of them need lies here."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SCREENS = tuple(sorted((path.stem for path in (PROJECT / "pages").glob("*.py")), key=lambda name: (name != "start", name)))
SHARED = PROJECT.parent / "shared"  # images and weights that the repository does not hold; tests that need them skip without
