"""Linewatch: every phone line listened to, scored and shown, worst first."""
