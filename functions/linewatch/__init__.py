"""Linewatch: every phone line listened to, scored and shown, worst first."""

from typing import Final

__version__: Final = "0.1.0"
